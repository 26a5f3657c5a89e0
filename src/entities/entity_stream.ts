/**
 * The stream of entities: opened when first needed, and read entity by entity.
 *
 * A copy of an entity in memory is valid as long as nothing suggests that the stream has changed without this node.
 * Each doubt begins a new **epoch**: a reconnect, a stream that was made anew, a last message that a copy cannot
 * explain, and a silence of the stream's leader, which hides a restart of servers to which this process is not
 * connected. A copy of an older epoch, or a snapshot, is valid only if the stream has the very message with which it
 * ends: the same sequence, publisher, and number of that publisher. So no command is decided on events that the store
 * has lost when it came back from an older copy or without its last messages.
 */
import type { EntityDefinition } from "../contract/declaration/entity_definition.ts";
import { CatgaError, isCatgaError, unavailable } from "../error.ts";
import { isSealedMessage, markOf, readEntityMessage } from "../log/format/entity_group.ts";
import { KnownNames, parseGroup } from "../log/format/group_text.ts";
import { entitySubject } from "../log/format/names.ts";
import { openStream } from "../log/format/streams.ts";
import { type Clock, delay, doubled } from "../ports/clock.ts";
import { reading, repeat } from "../ports/repeat.ts";
import { openOnce } from "../ports/open_once.ts";
import type { AppendReceiver, ConditionalAppend, LogStream, ReadOptions, StoredMessage } from "../ports/event_log.ts";
import { blank, type EntityCopy } from "./entity_copy.ts";
import type { EntitiesHost, Snapshots } from "./snapshots.ts";
import type { StoredCommands } from "./stored_commands.ts";

/** The stored entities of a namespace. */
export class EntityStream {
  readonly #host: EntitiesHost;
  readonly #snapshots: Snapshots;
  readonly #commands: StoredCommands;
  /**
   * By type and id: the entity's subject. Cached, because a string that is made again is hashed and compared again at
   * each look-up.
   */
  readonly #subjects: Map<string, Map<string, string>> = new Map();
  readonly #open = openOnce(async () => {
    const stream = await openStream(this.#host, "entities");
    stream.onDoubt(() => this.doubt());
    return this.#stream = stream;
  });
  #stream: LogStream | undefined;
  /** `LogState.created`, the stream's identity; `undefined`: not known. */
  #created: string | undefined;
  #readingCreated: Promise<string> | undefined;
  /** By subject of an entity that could not be read: the reason; only the first {@link MAX_UNREADABLE_ENTITIES}. */
  readonly #unreadable = new Map<string, string>();
  /** Number of times so far that the stream may have changed without this node. */
  #epoch = 0;
  /** Time at which the stream's leader last answered, by the monotonic clock. */
  #heardAt = -Infinity;
  /** Server's time minus the time of the monotonic clock. */
  #offset = 0;
  /** Time at which `#offset` was computed. */
  #offsetAt = -Infinity;

  constructor(host: EntitiesHost, snapshots: Snapshots, commands: StoredCommands) {
    this.#host = host;
    this.#snapshots = snapshots;
    this.#commands = commands;
  }

  /**
   * Returns the stream, opened. Rejects with a `CatgaError` if the stream cannot be opened; the next call then tries to
   * open it.
   */
  get(): LogStream | Promise<LogStream> {
    return this.#stream ?? this.#open();
  }

  /** Returns methods that read the stream, and try again until `due`, by the monotonic clock. */
  readsUntil(due: number): PatientReads {
    return new PatientReads(() => this.get(), this.#host.clock, due);
  }

  /**
   * Converts `now`, a time of the monotonic clock, to the server's time, in ms since 1970; before the stream is opened,
   * to this process's time.
   */
  timeAt(now: number): number {
    if (now - this.#offsetAt > OFFSET_INTERVAL) {
      this.#offset = (this.#stream?.serverTime ?? this.#host.clock.now()) - now;
      this.#offsetAt = now;
    }
    return this.#offset + now;
  }

  /** Returns the subject of an entity. */
  subject(type: string, id: string): string {
    let known = this.#subjects.get(type);
    if (known === undefined || known.size >= MAX_CACHED_SUBJECTS) this.#subjects.set(type, known = new Map());
    let subject = known.get(id);
    if (subject === undefined) known.set(id, subject = entitySubject(this.#host.namespace, type, id));
    return subject;
  }

  /**
   * Returns the identity of the stream: if the stream is lost and created again, it has another one. Rejects with
   * `UNAVAILABLE`.
   */
  created(): string | Promise<string> {
    return this.#created ?? (this.#readingCreated ??= this.#readCreated());
  }

  /**
   * Returns true if the copy is still valid: it was equal to the entity when last compared, and there was no reason for
   * doubt since. `now`: the time by the monotonic clock.
   */
  isValid<State>(copy: EntityCopy<State>, now: number): boolean {
    if (now - this.#heardAt > MAX_SILENCE) return false;
    return copy.epoch === this.#epoch;
  }

  /**
   * Appends a message, by `LogStream.appendNext`. Call only after the stream was opened: it is open once a copy was
   * read from it.
   */
  append(receiver: AppendReceiver, subject: string, text: string, options: ConditionalAppend): void {
    this.#stream!.appendNext(receiver, subject, text, options);
  }

  /** Notes that the stream's leader has answered; call it at each answer. */
  leaderAnswered(now: number): void {
    if (now - this.#heardAt > MAX_SILENCE) this.#epoch++;
    this.#heardAt = now;
  }

  /**
   * Returns the entity as the stream's leader has it: the copy `known` if it ends with the leader's last message; else
   * `known` with the later messages, if the stream still has the copy's last message; else a copy read from the
   * snapshot or from the first event. Rejects with `UNAVAILABLE` if that takes longer than `due`, by the monotonic
   * clock.
   */
  async current<State>(
    { definition, id }: EntityId<State>,
    known: EntityCopy<State> | undefined,
    due: number,
  ): Promise<EntityCopy<State>> {
    const stream = this.readsUntil(due);
    await stream.opened();
    const subject = this.subject(definition.name, id);
    // the epoch is read before the stream: if this node learns, during the read, that the store has lost messages, this
    // copy has an older epoch and is compared again
    let epoch = this.#epoch;
    const snapshot = known === undefined ? this.#snapshot(definition, id) : undefined;
    const last = await stream.last(subject, { latest: true });
    if (this.#epoch === epoch) {
      this.leaderAnswered(this.#host.clock.monotonic());
      epoch = this.#epoch;
    }
    const mark = last === undefined ? "" : markOfMessage(last);
    const end = { sequence: last?.sequence ?? 0, mark, time: last?.time ?? -Infinity };
    let copy = known ?? await snapshot;
    if (copy === undefined || !isAt(copy, end)) {
      if (copy !== undefined && !await this.#resume(copy, subject, { end: end.sequence, due })) {
        // the copy in memory ends with a message that the store has lost, so other copies may be wrong, too
        if (known !== undefined && copy.epoch === this.#epoch) epoch = this.doubt();
        copy = undefined;
      }
      copy = await this.#advance(copy ?? blank(definition, id), { upTo: end.sequence, due });
      // the copy is not up to date: it was read from a server that lags behind, and may have messages that the leader
      // has lost
      if (copy.sequence === end.sequence && !isAt(copy, end)) throw this.#lagError(subject);
    } else if (known === undefined) {
      copy.pass(end, mark); // copied from the message: a snapshot lacks its time
      copy.since = end.time + 1;
    }
    copy.epoch = epoch;
    return this.#wasRead(copy);
  }

  /**
   * Reads an entity from its snapshot or from its first event, from a server that may lag behind. Rejects with
   * `UNAVAILABLE` if that takes longer than `due`, by the monotonic clock. The snapshot and the last message are
   * requested at once: usually the snapshot ends with that message; otherwise the message says how far to read.
   */
  async load<State>(definition: EntityDefinition<State>, id: string, due: number): Promise<EntityCopy<State>> {
    const subject = this.subject(definition.name, id);
    // the stream of entities and the bucket of snapshots are opened at the same time
    const [snapshot, last] = await Promise.all([this.#snapshot(definition, id), this.readsUntil(due).last(subject)]);
    const upTo = last?.sequence ?? 0;
    if (last !== undefined && snapshot !== undefined) {
      if (isAt(snapshot, { sequence: upTo, mark: markOfMessage(last) })) {
        return this.#wasRead(snapshot);
      }
      if (await this.#resume(snapshot, subject, { noted: false, due })) {
        return this.#wasRead(await this.#advance(snapshot, { upTo, due, noted: false }));
      }
    }
    const copy = blank(definition, id);
    return this.#wasRead(last === undefined ? copy : await this.#advance(copy, { upTo, due, noted: false }));
  }

  /**
   * Reads the messages of an entity that are later than its copy into the copy. The copy must be one for which {@link
   * EntityStream.isValid} has returned true. Rejects with `UNAVAILABLE` if that takes longer than `due`, by the
   * monotonic clock.
   */
  async readOn<State>(copy: EntityCopy<State>, due: number): Promise<EntityCopy<State>> {
    return await this.#advance(copy, { upTo: 0, due, noted: false });
  }

  /**
   * Calls `onMessage` with the messages of a subject that were stored at or after the time `from` (of the server, in ms
   * since 1970), in order, up to the message with the sequence `upTo`, which has to exist. Rejects with `UNAVAILABLE`
   * if that takes longer than `due`, by the monotonic clock.
   */
  async since(
    subject: string,
    { from, upTo, due }: { readonly from: number; readonly upTo: number; readonly due: number },
    onMessage: (message: StoredMessage) => void,
  ): Promise<void> {
    const stream = this.readsUntil(due);
    let read: { from: number } | { since: number } = { since: Math.max(0, from) };
    for (let [pauses, reached] = [0, 0]; reached < upTo;) {
      const messages = await stream.read(subject, read);
      for (const message of messages) onMessage(message);
      const last = messages.at(-1);
      if (last === undefined) await this.#pause(subject, pauses++, due);
      else {
        reached = last.sequence;
        read = { from: reached + 1 };
      }
    }
  }

  /**
   * Begins a new epoch: the stream may have changed without this node, so that all copies must be compared with it.
   * Returns the epoch.
   * @decides a copy in memory is no longer trusted
   */
  doubt(): number {
    this.#created = this.#readingCreated = undefined;
    return ++this.#epoch;
  }

  async #snapshot<State>(definition: EntityDefinition<State>, id: string): Promise<EntityCopy<State> | undefined> {
    return await this.#snapshots.get(definition, id, () => this.created());
  }

  /**
   * Reads the messages after a copy's last message into the copy. Resolves with false if the stream does not have that
   * last message; the copy is then not valid. `end`: sequence of the entity's last message, if known: a copy that goes
   * further is not valid either.
   */
  async #resume<State>(
    copy: EntityCopy<State>,
    subject: string,
    { end = Infinity, noted = true, due }: { readonly end?: number; readonly due: number } & Noting,
  ): Promise<boolean> {
    const { sequence } = copy;
    if (sequence === 0) return true;
    if (sequence > end) return false;
    const [own, ...behind] = await this.readsUntil(due).read(subject, { from: sequence, most: MAX_READ_MESSAGES });
    if (own === undefined || !isAt(copy, { sequence: own.sequence, mark: markOfMessage(own) })) return false;
    if (copy.since === Infinity) copy.since = own.time + 1;
    const reading = this.#reading(subject, noted);
    for (const message of behind) this.#take(copy, message, reading);
    return true;
  }

  /**
   * Reads an entity's messages into its copy, up to the existing message with the sequence `upTo` or further; with
   * `upTo` 0, all messages.
   */
  async #advance<State>(
    copy: EntityCopy<State>,
    { upTo, due, noted = true }: { readonly upTo: number; readonly due: number } & Noting,
  ): Promise<EntityCopy<State>> {
    const subject = this.subject(copy.definition.name, copy.id);
    for (let pauses = 0; upTo === 0 || copy.sequence < upTo;) {
      if (await this.#readPart(copy, this.#reading(subject, noted), due)) continue;
      if (upTo === 0) return copy;
      await this.#pause(subject, pauses++, due);
    }
    return copy;
  }

  /** Reads the next {@link MAX_READ_MESSAGES} messages into a copy. Resolves with true if there were such messages. */
  async #readPart<State>(copy: EntityCopy<State>, reading: EntityReading, due: number): Promise<boolean> {
    let failed: { readonly error: unknown } | undefined;
    const onMessage = (message: StoredMessage) => {
      if (failed !== undefined) return;
      try {
        this.#take(copy, message, reading);
      } catch (error) {
        failed = { error };
      }
    };
    const messages = await this.readsUntil(due).read(reading.subject, {
      from: copy.sequence + 1,
      most: MAX_READ_MESSAGES,
      onMessage,
    });
    if (failed !== undefined) throw failed.error;
    return messages.length > 0;
  }

  /** Waits before another read from a server that lags behind. `pauses`: number of earlier waits of this kind. */
  async #pause(subject: string, pauses: number, due: number): Promise<void> {
    const { clock } = this.#host;
    if (clock.monotonic() >= due) throw this.#lagError(subject);
    await delay(clock, doubled(pauses, 1, LONGEST_PAUSE));
  }

  #lagError(subject: string): CatgaError {
    return unavailable(
      `${subject} could not be read up to its last message: the server that answered lags behind the leader of the stream`,
    );
  }

  #reading(subject: string, noted: boolean): EntityReading {
    const now = noted ? this.timeAt(this.#host.clock.monotonic()) : undefined;
    return { subject, known: new KnownNames(), now };
  }

  /** Reports that an entity that could not be read before has now been read to its end. Returns the given copy. */
  #wasRead<State>(copy: EntityCopy<State>): EntityCopy<State> {
    if (this.#unreadable.size === 0) return copy;
    const { definition: { name: entity }, id } = copy;
    if (this.#unreadable.delete(this.subject(entity, id))) {
      this.#host.observer({ type: "entity-readable", entity, id });
    }
    return copy;
  }

  #take<State>(copy: EntityCopy<State>, message: StoredMessage, reading: EntityReading): void {
    try {
      this.#apply(copy, message, reading);
    } catch (error) {
      const { definition: { name: entity }, id } = copy;
      const why = isCatgaError(error)
        ? error.message
        : `${entity} ${id}: a function that applies its events throws: ${(error as Error)?.message ?? error}`;
      const { subject } = reading;
      const isNew = !this.#unreadable.has(subject);
      // an unreadable entity is reported once, not for each command that meets the same error
      if (this.#unreadable.get(subject) !== why && (!isNew || this.#unreadable.size < MAX_UNREADABLE_ENTITIES)) {
        this.#unreadable.set(subject, why);
        this.#host.observer({ type: "entity-unreadable", entity, id, message: why });
      }
      throw error;
    }
  }

  #apply<State>(copy: EntityCopy<State>, message: StoredMessage, { subject, known, now }: EntityReading): void {
    const { sequence, time, data } = message;
    if (sequence <= copy.sequence) return;
    const at = { sequence, time, size: data.length };
    const read = readEntityMessage(copy.definition.name, data, known);
    if ("reason" in read) {
      if (read.version !== undefined) {
        throw new CatgaError("UNAVAILABLE", `message ${sequence} of ${message.subject}: ${read.reason}`);
      }
      copy.pass(at, markOfMessage(message));
      return this.#passed(message, read.reason);
    }
    if (isSealedMessage(read)) {
      const why = "the codec of this node cannot decode it, as if its key were missing";
      throw new CatgaError("UNAVAILABLE", `message ${sequence} of ${message.subject}: ${why}`);
    }
    const why = copy.take(read, at);
    if (why !== undefined) this.#passed(message, why);
    else if (now !== undefined) this.#commands.add(subject, read.commands, at, now);
  }

  #passed({ sequence, subject }: StoredMessage, reason: string): void {
    this.#host.observer({
      type: "fault",
      during: `reading ${subject}, which passes over message ${sequence}`,
      error: new Error(reason),
    });
  }

  #readCreated(): Promise<string> {
    const reading = this.#askCreated().then((created) => {
      // the identity is kept only if the stream cannot have changed during the request
      if (this.#readingCreated === reading) this.#created = created;
      return created;
    }).finally(() => {
      if (this.#readingCreated === reading) this.#readingCreated = undefined;
    });
    return reading;
  }

  async #askCreated(): Promise<string> {
    const state = await (await this.get()).state();
    if (state === undefined) throw unavailable("the stream of entities does not exist");
    return state.created;
  }
}

/**
 * Reads of the stream, each of which is repeated after a failure until a deadline, because the election of a leader may
 * take longer than a single read waits. After the deadline, and after an error that will not pass, each method rejects
 * like the method of `LogStream` with the same name.
 */
export class PatientReads {
  readonly #open: () => LogStream | Promise<LogStream>;
  readonly #clock: Clock;
  readonly #due: number;

  constructor(open: () => LogStream | Promise<LogStream>, clock: Clock, due: number) {
    this.#open = open;
    this.#clock = clock;
    this.#due = due;
  }

  /** Resolves when the stream is open. */
  opened(): Promise<void> {
    return this.#patient(() => Promise.resolve());
  }

  last(subject: string, options?: { latest?: boolean }): Promise<StoredMessage | undefined> {
    return this.#patient((stream) => stream.last(subject, options));
  }

  at(sequence: number): Promise<StoredMessage | undefined> {
    return this.#patient((stream) => stream.at(sequence));
  }

  read(subject: string, options: ReadOptions): Promise<StoredMessage[]> {
    return this.#patient((stream) => stream.read(subject, options));
  }

  #patient<T>(read: (stream: LogStream) => Promise<T>): Promise<T> {
    const clock = this.#clock;
    const opened = async () => await read(await this.#open());
    return repeat(opened, reading(clock, (pause) => this.#due - clock.monotonic() <= pause));
  }
}

/**
 * `noted`: true if the commands that are read are to be remembered; false if no command will be handled on the copy.
 */
interface Noting {
  readonly noted?: boolean;
}

/** A read of the messages of one entity. */
interface EntityReading {
  readonly subject: string;
  readonly known: KnownNames;
  /** The present time, by the server's clock; `undefined`: the commands that are read are not remembered. */
  readonly now: number | undefined;
}

/** The type of an entity, and its id. */
export interface EntityId<State> {
  readonly definition: EntityDefinition<State>;
  readonly id: string;
}

/**
 * Returns the mark of a stored message: its publisher and the publisher's number for it; a mark made of its time if the
 * publisher cannot be read.
 */
function markOfMessage({ data, time }: StoredMessage): string {
  const parsed = parseGroup(data);
  return "reason" in parsed ? `?${time}` : markOf(parsed);
}

/** Returns true if this message is the last one that a copy contains. */
function isAt<State>(copy: EntityCopy<State>, end: { readonly sequence: number; readonly mark: string }): boolean {
  return copy.sequence === end.sequence && copy.mark === end.mark;
}

/** Maximum number of unreadable entities that are remembered. */
const MAX_UNREADABLE_ENTITIES = 1_000;
/** Maximum number of messages that are read at once. */
const MAX_READ_MESSAGES = 1_000;
const LONGEST_PAUSE = 50; // ms, the longest wait for a server that lags behind
/** Maximum number of cached subjects of a type. */
const MAX_CACHED_SUBJECTS = 16_384;
/** Interval at which the difference to the server's time is computed, in ms. */
const OFFSET_INTERVAL = 100;
/**
 * Time without an answer of the stream's leader after which copies in memory are compared with the stream, in ms. A
 * server that comes back with older data is away for longer. The price is one read of the last message for a command of
 * an idle entity.
 */
const MAX_SILENCE = 500;
