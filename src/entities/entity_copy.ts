/** A copy of an entity in memory, made from the entity's stored messages up to one of them. */
import {
  applied,
  type EntityDefinition,
  type Inapplicable,
  initialState,
} from "../contract/declaration/entity_definition.ts";
import { encodeValue } from "../data/encoding.ts";
import { ofAnotherVersion } from "../dispatch/outcome.ts";
import { CatgaError } from "../error.ts";
import { type EntityMessage, payloadOf, saysForgotten } from "../log/format/entity_group.ts";
import { freezePlain } from "../data/checks.ts";

/** Parts from which a copy of an entity is made. */
interface CopyParts<State> {
  readonly state: State;
  readonly version: number;
  readonly sequence: number;
  readonly mark: string;
  readonly time: number;
  /** Approximate memory that the copy takes, in bytes. */
  readonly size: number;
}

/** The change of an entity by the commands of one stored message. */
interface EntityChange<State> extends StoredAt {
  readonly state: State;
  /** Number of events that the entity has had, those of this message included. */
  readonly version: number;
  readonly mark: string;
}

/** A copy of an entity in memory. */
export class EntityCopy<State> {
  readonly definition: EntityDefinition<State>;
  readonly id: string;
  /**
   * Epoch (counter of doubts, see `entity_stream.ts`) in which the copy was last found equal to the entity in the
   * stream.
   */
  epoch = -1;
  /**
   * Time since which the node remembers every stored command of the entity, in ms since 1970 by the server's clock;
   * `Infinity`: the node remembers none for certain.
   */
  since = Infinity;
  /** The last snapshot that was written: its number of events, and its time by the monotonic clock. */
  snapshot = { version: 0, at: -Infinity };
  #state: State;
  #version: number;
  #sequence: number;
  #mark: string;
  #time: number;
  #size: number;
  /** Size of the copy when the size of its state was last measured. */
  #measured: number;
  #forgotten = false;

  /** Makes a copy, with the state after a stored message. */
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

  /** Number of events that the copy contains. */
  get version(): number {
    return this.#version;
  }

  /**
   * State of the entity, frozen because handlers and readers share it. It is frozen when it is read here, not after
   * each event of the stream is applied, because freezing costs a walk through the state.
   */
  get state(): State {
    return freezePlain(this.#state);
  }

  /** Sequence of the last message that the copy contains; 0: none. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Mark of the last message (publisher and its number for the message); empty: none. */
  get mark(): string {
    return this.#mark;
  }

  /** Time at which the last message was stored, in ms since 1970 by the server's clock; -Infinity: none. */
  get time(): number {
    return this.#time;
  }

  get forgotten(): boolean {
    return this.#forgotten;
  }

  get size(): number {
    return this.#size;
  }

  /** Returns a copy of this copy, so that more messages can be read into it while this one stays unchanged. */
  clone(): EntityCopy<State> {
    const { definition, id, state, version, sequence, mark, time, size } = this;
    const copy = new EntityCopy(definition, id, { state, version, sequence, mark, time, size });
    copy.epoch = this.epoch;
    copy.since = this.since;
    copy.snapshot = this.snapshot;
    copy.#forgotten = this.#forgotten;
    return copy;
  }

  /** Skips a message of the entity that cannot be read, or belongs to another entity. */
  pass({ sequence, time }: Omit<StoredAt, "size">, mark: string): void {
    this.#sequence = sequence;
    this.#mark = mark;
    this.#time = time;
  }

  /**
   * Applies the next message of the entity. Returns `undefined`, or, if the message was skipped because it does not
   * follow the events read so far, the reason. Throws `UNAVAILABLE` if earlier events are missing or this node cannot
   * apply an event, and any error of an `apply` function; the copy is then unchanged.
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

  /**
   * Makes the error for a stored event that this node cannot apply; a node with another version of the entity may be
   * able to.
   */
  #inapplicable({ cause, message, error }: Inapplicable, event: string, version: number): CatgaError {
    const of = `${this.definition.name} ${this.id}`;
    const text = cause === "unknown event"
      ? `${of}: its event ${version}, ${event}, is not in this node's definition of ${this.definition.name}: deploy the definition with ` +
        `${event} to all nodes first, and what emits it after that`
      : `${of}: its event ${version} cannot be applied: ${message}; the schema of an event has to accept all that is stored`;
    // the error is not retryable if a schema refuses the event, because then only a deploy helps
    return ofAnotherVersion(
      new CatgaError("UNAVAILABLE", text, { cause: error, retryable: cause === "unknown event" }),
    );
  }

  /** Applies the changes by commands that this node has stored. */
  change({ state, version, sequence, mark, time, size }: EntityChange<State>): void {
    // a message without events does not make the copy larger
    if (version > this.#version) this.#size += size;
    this.#state = state;
    if (this.#size > 2 * this.#measured + SMALL) this.#measure();
    this.#version = version;
    this.#sequence = sequence;
    this.#mark = mark;
    this.#time = time;
  }

  /** Measures the size of the state anew, because many long events may have changed only a few characters of it. */
  #measure(): void {
    try {
      this.#size = SMALL + (this.#state === undefined ? 0 : encodeValue(this.#state, "state").length);
    } catch {
      // the size of a state that cannot be encoded is estimated by the size of its events
      this.#size = Math.min(LARGE, this.#size);
    }
    this.#measured = this.#size;
  }
}

/** Where and when a message was stored, and its length. */
export interface StoredAt {
  readonly sequence: number;
  readonly time: number;
  readonly size: number;
}

/** Returns a copy of an entity that has no events. */
export function blank<State>(definition: EntityDefinition<State>, id: string): EntityCopy<State> {
  const parts = { version: 0, sequence: 0, mark: "", time: -Infinity, size: SMALL };
  const copy = new EntityCopy(definition, id, { ...parts, state: initialState(definition, id) });
  copy.since = -Infinity;
  return copy;
}

/** Approximate size of an entity without events, in bytes. */
const SMALL = 512;
/** Maximum size that is assumed for a state that cannot be encoded, in bytes. */
const LARGE = 1_048_576;
