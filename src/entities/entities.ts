/**
 * The entities of a namespace, as one node reads them and handles their commands. Opens nothing until it is first
 * needed.
 */
import { show } from "../data/checks.ts";
import type { EntityBody } from "../contract/declaration/handler.ts";
import type { EntityDefinition, LoadedEntity, LoadOptions } from "../contract/declaration/entity_definition.ts";
import type { DecidingMessage, Entities, Settling } from "../dispatch/context_host.ts";
import { keyOf } from "../dispatch/routing_key.ts";
import { CatgaError, isCatgaError, unavailable } from "../error.ts";
import {
  commandText,
  entityGroupText,
  eventText,
  FORGOTTEN_EVENT,
  readEntityGroup,
  saysForgotten,
  withoutName,
} from "../log/format/entity_group.ts";
import { delay, doubled, type Timer, valueWithin } from "../ports/clock.ts";
import type { LogStream, StoredMessage } from "../ports/event_log.ts";
import { PendingCommand } from "./command.ts";
import type { EntityCopy } from "./entity_copy.ts";
import { WarmCopies } from "./warm_copies.ts";
import { EntityStream } from "./entity_stream.ts";
import { type EntitiesHost, snapshotDue, Snapshots } from "./snapshots.ts";
import { forgotten, OptimisticAppends } from "./optimistic_appends.ts";
import { StoredCommands } from "./stored_commands.ts";

/** Makes the part of a node that reads entities and handles their commands. */
export function openEntities(host: EntitiesHost): Entities {
  return new NodeEntities(host);
}

class NodeEntities implements Entities {
  readonly #host: EntitiesHost;
  readonly #snapshots: Snapshots;
  readonly #stream: EntityStream;
  readonly #appends: OptimisticAppends;
  readonly #warm = new WarmCopies();
  /** Subjects of entities for which a snapshot is to be written, now or later. */
  readonly #awaited = new Set<string>();
  #timer: Timer | undefined;
  /** Number of events that this process has emitted. */
  #emitted = 0;

  constructor(host: EntitiesHost) {
    this.#host = host;
    this.#snapshots = new Snapshots(host);
    const commands = new StoredCommands(host.clock);
    const stream = this.#stream = new EntityStream(host, this.#snapshots, commands);
    this.#appends = new OptimisticAppends({
      ...{ host, stream, commands, warm: this.#warm },
      number: (events) => (this.#emitted += events) - events,
      changed: (subject, copy, now) => snapshotDue(copy, now) !== undefined && this.#awaitSnapshot(subject),
    });
  }

  decide(body: EntityBody, payload: unknown, ctx: DecidingMessage, to: Settling): void {
    let command: PendingCommand;
    try {
      const id = entityOf(ctx);
      const subject = this.#stream.subject(body.definition.name, id);
      command = new PendingCommand({ host: this.#host, body, subject, id, payload, ctx, to });
    } catch (error) {
      return to.reject(error);
    }
    this.#appends.begin(command);
  }

  async load<State>(
    definition: EntityDefinition<State>,
    id: string,
    { latest = false }: LoadOptions,
  ): Promise<LoadedEntity<State>> {
    checkEntityId(`load ${definition.name}`, id);
    const now = this.#host.clock.monotonic();
    const due = now + this.#host.timeout;
    const warm = this.#warm.get(this.#stream.subject(definition.name, id));
    // a copy that another definition of the same name made may have a state of another kind
    const known = warm?.definition === definition ? warm.clone() as EntityCopy<State> : undefined;
    const stream = this.#stream;
    const copy = latest || (known !== undefined && !stream.isValid(known, now))
      ? await stream.current({ definition, id }, known, due)
      : known === undefined
      ? await stream.load(definition, id, due)
      : await stream.readOn(known, due);
    if (copy.forgotten) throw forgotten(copy);
    return { id, version: copy.version, state: copy.state };
  }

  async forget<State>({ name }: EntityDefinition<State>, id: string): Promise<void> {
    checkEntityId(`forget ${name}`, id);
    const { clock, timeout } = this.#host;
    const due = clock.monotonic() + timeout;
    const subject = this.#stream.subject(name, id);
    const reads = this.#stream.readsUntil(due);
    await reads.opened();
    const stream = await this.#stream.get();
    let error: CatgaError | undefined;
    for (let attempts = 0;; attempts++) {
      const left = due - clock.monotonic();
      if (left <= 0) {
        const last = error === undefined ? "" : `; last error: ${error.message}`;
        throw unavailable(`${name} ${id} may be forgotten in part: forget it again${last}`, { cause: error });
      }
      const last = await reads.last(subject, { latest: true });
      if (last !== undefined && this.#isForgotten(last)) {
        const removed = await valueWithin(clock, left, this.#remove(stream, { name, id, before: last.sequence }));
        if (removed === true) return this.#warm.drop(subject);
        error = removed ?? error;
      } else {
        const text = this.#forgotten(id, this.#versionBehind(last));
        const appended = await stream.append(subject, text, { timeout: left, expect: last?.sequence ?? 0 });
        if (appended.type === "stored") continue;
        if (appended.type !== "conflict") {
          error = appended.error;
          if (appended.type === "not stored" && !appended.transient) throw error;
        }
      }
      await delay(clock, Math.min(doubled(attempts, 5, 500), Math.max(0, due - clock.monotonic())));
    }
  }

  /**
   * Removes the snapshots of a forgotten entity, and its messages before this sequence. Resolves with true, or with the
   * error if the servers do not answer, as while they elect leaders of the stream and the bucket; rejects with others.
   */
  async #remove(
    stream: LogStream,
    { name, id, before }: { readonly name: string; readonly id: string; readonly before: number },
  ): Promise<true | CatgaError> {
    try {
      await this.#snapshots.remove(name, id);
      await stream.purge(this.#stream.subject(name, id), { before });
      await this.#snapshots.remove(name, id);
      return true;
    } catch (error) {
      if (isCatgaError(error) && error.code === "UNAVAILABLE" && error.retryable) return error;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#writeSnapshots();
    this.#timer?.cancel();
    this.#appends.stopIfIdle();
    await this.#snapshots.settled();
  }

  /**
   * Schedules the writing of a snapshot. Snapshots are written together: a single one costs two writes to the
   * connection, as much as a dozen commands.
   */
  #awaitSnapshot(subject: string): void {
    this.#awaited.add(subject);
    this.#timer ??= this.#host.clock.after(SNAPSHOT_DELAY, () => this.#writeSnapshots(), { background: true });
  }

  /** Writes the snapshots that are due now, and sets a timer for the others. */
  #writeSnapshots(): void {
    const now = this.#host.clock.monotonic();
    const awaited = [...this.#awaited];
    this.#awaited.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const subject of awaited) {
      const copy = this.#warm.get(subject);
      const due = copy && snapshotDue(copy, now);
      if (due === "later") this.#awaitSnapshot(subject);
      if (copy === undefined || due !== "now") continue;
      copy.snapshot = { version: copy.version, at: now };
      this.#snapshots.write(copy, () => this.#stream.created(), async () => {
        const last = await (await this.#stream.get()).last(subject, { latest: true });
        return last !== undefined && this.#isForgotten(last);
      });
    }
  }

  /** Returns true if the last message of an entity says that the entity was forgotten. */
  #isForgotten(last: StoredMessage): boolean {
    const read = this.#read(last);
    return !("reason" in read) && saysForgotten(read);
  }

  #versionBehind(last: StoredMessage | undefined): number {
    const read = last && this.#read(last);
    return read === undefined || "reason" in read ? 0 : read.version + read.messages.length;
  }

  #read(message: StoredMessage) {
    return readEntityGroup(this.#host.namespace, message);
  }

  #forgotten(id: string, version: number): string {
    const { endpoint, clock } = this.#host;
    const origin = { endpoint, first: this.#emitted++, sentAt: clock.now() };
    const event = eventText(FORGOTTEN_EVENT, JSON.stringify({ id }));
    return entityGroupText(origin, version, [commandText(withoutName(""))], [event]);
  }
}

/**
 * Returns the id of the entity that a command addresses: the key that the contract makes of the payload. Throws
 * `INVALID_MESSAGE` if the sender gave another routing key.
 */
function entityOf({ contract, envelope, execution: { payload } }: DecidingMessage): string {
  const id = keyOf(contract, payload);
  if (typeof id === "object") throw id.error;
  if (envelope.key !== undefined && envelope.key !== id) {
    throw new CatgaError(
      "INVALID_MESSAGE",
      `command ${contract.name} was not applied: it was sent with the key ${
        show(envelope.key)
      }, and its contract makes ` +
        `the key ${show(id)} of its payload, which is the entity's id; leave the option \`key\` out`,
    );
  }
  try {
    checkEntityId(`command ${contract.name}: the key`, id);
  } catch (cause) {
    // a failed `keyOf` throws a TypeError
    throw new CatgaError("INVALID_MESSAGE", (cause as Error).message, { cause });
  }
  return id;
}

function checkEntityId(at: string, id: string | undefined): asserts id is string {
  if (typeof id === "string" && id !== "" && id.length <= MAX_ID && id.isWellFormed()) return;
  throw new TypeError(`${at}: an entity's id is a well-formed string of 1 to ${MAX_ID} characters; got ${show(id)}`);
}

/** How long due snapshots are collected before they are written together, in ms. */
const SNAPSHOT_DELAY = 100;
/** Maximum length of an entity's id, in characters. */
const MAX_ID = 256;
