/** The stream of entities: opened when it is first needed, and read entity by entity. */
import type { EntityDefinition } from "../contract/entity_definition.ts";
import { CatgaError } from "../error.ts";
import { readEntityGroup } from "../log/format/entity_group.ts";
import { entitySubject } from "../log/format/names.ts";
import { streamName, streamOptions } from "../log/format/streams.ts";
import { delay } from "../ports/clock.ts";
import type { LogStream, StoredMessage } from "../ports/event_log.ts";
import { blank, type EntityCopy } from "./entity_copy.ts";
import type { EntitiesHost } from "./host.ts";
import type { Snapshots } from "./snapshots.ts";

/** The entities of a namespace as they are stored. */
export class EntityStream {
  readonly #host: EntitiesHost;
  readonly #snapshots: Snapshots;
  #opening: Promise<LogStream> | undefined;
  #stream: LogStream | undefined;
  /** `LogState.created`; `undefined`: unknown. */
  #created: string | undefined;
  #readingCreated: Promise<string> | undefined;

  constructor(host: EntitiesHost, snapshots: Snapshots) {
    this.#host = host;
    this.#snapshots = snapshots;
  }

  /** The stream, opened. Rejects as `EventLog.open` does; the next call tries again. */
  get(): LogStream | Promise<LogStream> {
    return this.#stream ?? this.#open();
  }

  /** The time of its server, in ms since 1970; that of this process before it is opened. */
  get time(): number {
    return this.#stream?.serverTime ?? this.#host.clock.now();
  }

  /** The subject of an entity. */
  subject(type: string, id: string): string {
    return entitySubject(this.#host.namespace, type, id);
  }

  /** Which stream this is: one that was lost and made again is another. Rejects with `UNAVAILABLE`. */
  created(): string | Promise<string> {
    return this.#created ?? (this.#readingCreated ??= this.#readCreated());
  }

  /**
   * Reads an entity from its snapshot on, or from its first event on, by `due` of the monotonic clock. Its last message is asked for beside
   * the snapshot: mostly that is all, and else it says how far to read.
   */
  async load<State>(
    definition: EntityDefinition<State>,
    id: string,
    { remember, due }: { readonly remember: boolean; readonly due: number },
  ): Promise<EntityCopy<State>> {
    const subject = this.subject(definition.name, id);
    // both are opened side by side, too
    const [snapshot, last] = await Promise.all([
      this.#snapshots.get(definition, id, { created: () => this.created(), remember }),
      this.#last(subject),
    ]);
    const upTo = last?.sequence ?? 0;
    if (snapshot !== undefined) {
      if (this.#madeAt(snapshot, last)) return snapshot;
      // its own message must be there: else it is of another stream, or this server lags behind
      const [own, ...behind] = await (await this.get()).read(subject, { from: snapshot.sequence });
      if (this.#madeAt(snapshot, own)) {
        for (const message of behind) this.#take(snapshot, message, subject);
        return await this.advance(snapshot, { upTo, due });
      }
    }
    const copy = blank(definition, id, remember);
    return last === undefined ? copy : await this.advance(copy, { upTo, due });
  }

  /**
   * Reads on, up to this sequence at least, which exists. Resolves with the copy. Rejects with `UNAVAILABLE` when a server that lags behind
   * has not got there by `due`.
   */
  async advance<State>(
    copy: EntityCopy<State>,
    { upTo = 0, due }: { readonly upTo?: number; readonly due: number },
  ): Promise<EntityCopy<State>> {
    const { clock } = this.#host;
    const stream = await this.get();
    const subject = this.subject(copy.definition.name, copy.id);
    const read = (from: number) => stream.read(subject, { from, most: PART });
    if (upTo > 0 && copy.sequence >= upTo) return copy;
    let reading = read(copy.sequence + 1);
    for (let pause = 1;;) {
      const messages = await reading;
      const end = messages.at(-1)?.sequence ?? copy.sequence;
      if (messages.length > 0) {
        // the next part comes while this one is applied
        const isLast = upTo > 0 && end >= upTo;
        if (!isLast) reading = read(end + 1);
        try {
          for (const message of messages) this.#take(copy, message, subject);
        } catch (error) {
          reading.catch(() => {}); // nobody waits for it
          throw error;
        }
        if (isLast) return copy;
        continue;
      }
      if (upTo === 0) return copy;
      if (clock.monotonic() >= due) {
        throw new CatgaError("UNAVAILABLE", `${subject} could not be read up to its last message`, { retryable: true });
      }
      await delay(clock, pause);
      pause = Math.min(LONGEST_PAUSE, pause * 2);
      reading = read(copy.sequence + 1);
    }
  }

  /**
   * The entity as the leader of the stream has it: this copy, read on; another one if the stream was made again meanwhile. `same`: it has no
   * message beyond those of this copy.
   */
  async latest<State>(
    copy: EntityCopy<State>,
    due: number,
  ): Promise<{ readonly same: boolean; readonly copy: EntityCopy<State> }> {
    const stream = await this.get();
    const last = await stream.last(this.subject(copy.definition.name, copy.id), { latest: true });
    const sequence = last?.sequence ?? 0;
    if (sequence === copy.sequence) return { same: true, copy };
    if (sequence > copy.sequence) return { same: false, copy: await this.advance(copy, { upTo: sequence, due }) };
    this.#doubt();
    const anew = await this.load(copy.definition, copy.id, { remember: copy.remembered !== undefined, due });
    return { same: false, copy: sequence > anew.sequence ? await this.advance(anew, { upTo: sequence, due }) : anew };
  }

  async #last(subject: string): Promise<StoredMessage | undefined> {
    return await (await this.get()).last(subject);
  }

  /** Whether a snapshot was made behind this message: it has its sequence, and continues to its version. */
  #madeAt<State>({ sequence, version }: EntityCopy<State>, message: StoredMessage | undefined): boolean {
    if (message?.sequence !== sequence) return false;
    const group = readEntityGroup(this.#host.namespace, message);
    return !("reason" in group) && group.head.version + group.messages.length === version;
  }

  #take<State>(copy: EntityCopy<State>, message: StoredMessage, subject: string): void {
    const { sequence, time, data } = message;
    if (sequence <= copy.sequence) return;
    const entity = message.subject === subject ? { type: copy.definition.name, id: copy.id } : undefined;
    const group = readEntityGroup(this.#host.namespace, message, entity);
    if ("reason" in group) {
      if (group.version !== undefined) {
        throw new CatgaError("UNAVAILABLE", `message ${sequence} of ${message.subject}: ${group.reason}`);
      }
      copy.pass(sequence);
      return this.#passed(message, group.reason);
    }
    const why = copy.take(group, { sequence, time, size: data.length });
    if (why !== undefined) this.#passed(message, why);
  }

  #passed({ sequence, subject }: StoredMessage, reason: string): void {
    this.#host.observer({
      type: "fault",
      during: `reading ${subject}, which passes over message ${sequence}`,
      error: new Error(reason),
    });
  }

  #open(): Promise<LogStream> {
    const { log, namespace, replicas } = this.#host;
    const options = streamOptions(namespace, "entities", replicas);
    return this.#opening ??= log.open(streamName(namespace, "entities"), options)
      .then((stream) => {
        stream.onDoubt(() => this.#doubt());
        return this.#stream = stream;
      })
      .finally(() => this.#opening = undefined);
  }

  /** It may be another stream. */
  #doubt(): void {
    this.#created = this.#readingCreated = undefined;
  }

  #readCreated(): Promise<string> {
    const reading = this.#askCreated().then((created) => {
      // not if it was doubted meanwhile
      if (this.#readingCreated === reading) this.#created = created;
      return created;
    }).finally(() => {
      if (this.#readingCreated === reading) this.#readingCreated = undefined;
    });
    return reading;
  }

  async #askCreated(): Promise<string> {
    const state = await (await this.get()).state();
    if (state === undefined) throw new CatgaError("UNAVAILABLE", "there is no stream of entities", { retryable: true });
    return state.created;
  }
}

/** How many messages are read at a time: while some are applied, the next ones come. */
const PART = 250;
const LONGEST_PAUSE = 50; // ms
