/** An entity in memory, as the messages of its subject have made it so far. */
import { applied, type EntityDefinition, type Inapplicable, initialState } from "../contract/entity_definition.ts";
import { encodeValue } from "../data/encoding.ts";
import { ofAnotherVersion } from "../dispatch/outcome.ts";
import { CatgaError } from "../error.ts";
import { type EntityMessage, payloadOf, saysForgotten } from "../log/format/entity_group.ts";
import { freezePlain } from "../data/checks.ts";

/** How far an entity has been read. */
interface CopyParts<State> {
  readonly state: State;
  readonly version: number;
  readonly sequence: number;
  readonly mark: string;
  readonly time: number;
  /** How much memory it takes, in bytes, about. */
  readonly size: number;
}

/** Changes by commands, in one message. */
interface EntityChange<State> extends StoredAt {
  readonly state: State;
  /** How many events there are now. */
  readonly version: number;
  readonly mark: string;
}

/** An entity in memory. */
export class EntityCopy<State> {
  readonly definition: EntityDefinition<State>;
  readonly id: string;
  /** In which epoch it was that of the stream's leader (`entity_stream.ts`). */
  epoch = -1;
  /** Commands that were stored since this time of the server, in ms since 1970, have passed by here. */
  since = Infinity;
  /** The number of events, and when it was by the monotonic clock, when its snapshot was written last. */
  snapshot = { version: 0, at: -Infinity };
  #state: State;
  #version: number;
  #sequence: number;
  #mark: string;
  #time: number;
  #size: number;
  /** Its size when its state was last measured. */
  #measured: number;
  #forgotten = false;

  /** One that was read up to a message. */
  constructor(definition: EntityDefinition<State>, id: string, parts: CopyParts<State>) {
    this.definition = definition;
    this.id = id;
    this.#state = parts.state;
    this.#version = parts.version;
    this.#sequence = parts.sequence;
    this.#mark = parts.mark;
    this.#time = parts.time;
    this.#size = this.#measured = parts.size;
  }

  /** How many events it has had. */
  get version(): number {
    return this.#version;
  }

  /**
   * Frozen, for handlers and readers share it. While events are read it is not: that would cost a walk for each of
   * them.
   */
  get state(): State {
    return freezePlain(this.#state);
  }

  /** Sequence of the last message of its subject; 0: it has none. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Mark of that message; empty: it has none. */
  get mark(): string {
    return this.#mark;
  }

  /** When that message was stored, by the server's clock, in ms since 1970; -Infinity: it has none. */
  get time(): number {
    return this.#time;
  }

  get forgotten(): boolean {
    return this.#forgotten;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Whether it gets a snapshot: now, or `later`, when its last one is old enough. A busy one gets fewer: to write one
   * for each hundred events costs a third of all that its commands cost.
   */
  snapshotDue(now: number): "now" | "later" | undefined {
    const { version, at } = this.snapshot;
    const events = this.#version - version;
    if (this.#forgotten || events < SNAPSHOT_EVENTS) return undefined;
    return events >= MAX_SNAPSHOT_EVENTS || now - at >= SNAPSHOT_PAUSE ? "now" : "later";
  }

  /** A copy of this one, for reading on. */
  toRead(): EntityCopy<State> {
    const { definition, id, state, version, sequence, mark, time, size } = this;
    const copy = new EntityCopy(definition, id, { state, version, sequence, mark, time, size });
    copy.epoch = this.epoch;
    copy.since = this.since;
    copy.snapshot = this.snapshot;
    copy.#forgotten = this.#forgotten;
    return copy;
  }

  /** A message of its subject, which cannot be read or is not one of the entity: it is passed over. */
  pass({ sequence, time }: Omit<StoredAt, "size">, mark: string): void {
    this.#sequence = sequence;
    this.#mark = mark;
    this.#time = time;
  }

  /**
   * The next message of its subject. Returns why it was passed over, if it does not continue these events. Throws
   * `UNAVAILABLE` if events before it are missing, or this node cannot apply one of these; and what an `apply` function
   * throws: nothing was changed then.
   */
  take(message: EntityMessage, at: StoredAt): string | undefined {
    const { name } = this.definition;
    const { version, mark, items } = message;
    if (saysForgotten(message)) {
      this.pass(at, mark);
      this.#state = initialState(this.definition, this.id);
      this.#version = version;
      this.#size = SMALL;
      this.#forgotten = true;
      return undefined;
    }
    if (this.#forgotten || version < this.#version) {
      this.pass(at, mark);
      return `it continues version ${version}; the entity is at ${this.#version}`;
    }
    if (version > this.#version) {
      const missing = `events ${this.#version + 1} to ${version} of ${name} ${this.id} are missing from the stream`;
      throw new CatgaError("UNAVAILABLE", missing);
    }
    let state = this.#state;
    let index = 0;
    const refuse = (why: Inapplicable) => this.#inapplicable(why, `${name}.${items[index][0]}`, version + index + 1);
    for (; index < items.length; index++) {
      const item = items[index];
      let payload: unknown;
      try {
        payload = payloadOf(item);
      } catch {
        this.pass(at, mark);
        return "a payload cannot be decoded";
      }
      state = applied(this.definition, state, `${name}.${item[0]}`, payload, refuse);
    }
    this.change({ ...at, state, version: version + items.length, mark });
    return undefined;
  }

  /** Another node, whose definition is newer or older, may apply it: nothing was changed. */
  #inapplicable({ cause, message, error }: Inapplicable, event: string, version: number): CatgaError {
    const of = `${this.definition.name} ${this.id}`;
    const text = cause === "unknown event"
      ? `${of}: its event ${version}, ${event}, is not in this node's definition of ${this.definition.name}: deploy the definition with ` +
        `${event} to all nodes first, and what emits it after that`
      : `${of}: its event ${version} cannot be applied: ${message}; the schema of an event has to accept all that is stored`;
    // what a schema refuses it refuses again: a deploy ends it
    return ofAnotherVersion(
      new CatgaError("UNAVAILABLE", text, { cause: error, retryable: cause === "unknown event" }),
    );
  }

  /** Takes the changes by commands. */
  change({ state, version, sequence, mark, time, size }: EntityChange<State>): void {
    // without events there is nothing more to keep
    if (version > this.#version) this.#size += size;
    this.#state = state;
    if (this.#size > 2 * this.#measured + SMALL) this.#measure();
    this.#version = version;
    this.#sequence = sequence;
    this.#mark = mark;
    this.#time = time;
  }

  /** The length of its state: many long events may have changed few characters. */
  #measure(): void {
    try {
      this.#size = SMALL + (this.#state === undefined ? 0 : encodeValue(this.#state, "state").length);
    } catch {
      // a state may be anything: then it is taken to be as long as its events
      this.#size = Math.min(LARGE, this.#size);
    }
    this.#measured = this.#size;
  }
}

/** Place, time and length of a stored message. */
export interface StoredAt {
  readonly sequence: number;
  readonly time: number;
  readonly size: number;
}

/** An entity without events. */
export function blank<State>(definition: EntityDefinition<State>, id: string): EntityCopy<State> {
  const parts = { version: 0, sequence: 0, mark: "", time: -Infinity, size: SMALL };
  const copy = new EntityCopy(definition, id, { ...parts, state: initialState(definition, id) });
  copy.since = -Infinity;
  return copy;
}

/** How many events there are between two snapshots. */
const SNAPSHOT_EVENTS = 100;
/** Number of events after which a snapshot is written within the pause, too. */
const MAX_SNAPSHOT_EVENTS = 500;
/** Between two snapshots of an entity. */
const SNAPSHOT_PAUSE = 1_000; // ms
/** Size of an entity without events, in bytes, about. */
const SMALL = 512;
/** Greatest assumed size of a state that cannot be written, in bytes. */
const LARGE = 1_048_576;

// Entities that a node keeps in memory: those whose commands it decided last, as far as there is room.

/** The warm copies of a node. */
export class WarmCopies {
  /**
   * By subject. One that was used since its place came at the front goes to the end instead of away: to move each at
   * every use would take as much time as all else here (V8, measured).
   */
  readonly #copies: Map<string, KeptCopy> = new Map();
  readonly #most: number;
  #size = 0;

  /** `most`: bytes, about. */
  constructor(most: number = MAX_CACHE_SIZE) {
    this.#most = most;
  }

  /** Their size, in bytes, about. */
  get size(): number {
    return this.#size;
  }

  get(subject: string): EntityCopy<unknown> | undefined {
    return this.#copies.get(subject)?.copy;
  }

  /** Keeps one, as used now; forgets those that were not used for long. */
  keep(subject: string, copy: EntityCopy<unknown>): void {
    const { size } = copy;
    const kept = this.#copies.get(subject);
    if (kept === undefined) {
      this.#copies.set(subject, { copy, size, used: false });
      this.#size += size;
    } else {
      this.#size += size - kept.size;
      kept.copy = copy;
      kept.size = size;
      kept.used = true;
    }
    if (this.#size > this.#most) this.#forget();
  }

  #forget(): void {
    // each comes again once at most: then it is not used any more
    for (const [subject, kept] of this.#copies) {
      if (this.#size <= this.#most) return;
      this.#copies.delete(subject);
      if (kept.used) this.#copies.set(subject, { ...kept, used: false });
      else this.#size -= kept.size;
    }
  }

  drop(subject: string): void {
    const kept = this.#copies.get(subject);
    if (kept === undefined) return;
    this.#copies.delete(subject);
    this.#size -= kept.size;
  }
}

interface KeptCopy {
  copy: EntityCopy<unknown>;
  size: number;
  /** Since it was put at the end. */
  used: boolean;
}

/** 64 MB. */
const MAX_CACHE_SIZE = 67_108_864;
