/** An entity in memory, as the messages of its subject have made it so far. */
import type { EntityDefinition } from "../contract/entity_definition.ts";
import { applied, type Inapplicable } from "../contract/entity_state.ts";
import { decodeText } from "../data/encoding.ts";
import { freezePlain } from "../data/freeze_plain.ts";
import { CatgaError } from "../error.ts";
import { type EntityGroup, saysForgotten } from "../log/format/entity_group.ts";
import { Remembered, rememberedAs } from "./remembered.ts";

/** How far an entity has been read. */
export interface CopyParts<State> {
  readonly state: State;
  readonly version: number;
  readonly sequence: number;
  /** How much memory it takes, in bytes, about. */
  readonly size: number;
  /** `undefined`: commands are not remembered in this copy, which is only read. */
  readonly remembered: Remembered | undefined;
  readonly forgotten: boolean;
}

/** What a command changes. */
export interface Change<State> {
  readonly state: State;
  /** How many events it emitted. */
  readonly events: number;
  /** Of the message, its length, and when it was stored. */
  readonly sequence: number;
  readonly size: number;
  readonly time: number;
  /** The command's name and id. */
  readonly name: string;
  readonly command: string;
  readonly fingerprint: string;
  readonly result: string | undefined;
}

/** An entity in memory. */
export class EntityCopy<State> {
  readonly definition: EntityDefinition<State>;
  readonly id: string;
  #parts: CopyParts<State>;

  /** One without events, or with these. */
  constructor(definition: EntityDefinition<State>, id: string, parts: CopyParts<State>) {
    this.definition = definition;
    this.id = id;
    this.#parts = parts;
  }

  /** How many events it has had. */
  get version(): number {
    return this.#parts.version;
  }

  /** Frozen, for handlers and readers share it. While events are read it is not: that would cost a walk for each of them. */
  get state(): State {
    return freezePlain(this.#parts.state);
  }

  /** Of the last message of its subject; 0: it has none. */
  get sequence(): number {
    return this.#parts.sequence;
  }

  get forgotten(): boolean {
    return this.#parts.forgotten;
  }

  get remembered(): Remembered | undefined {
    return this.#parts.remembered;
  }

  get size(): number {
    return this.#parts.size + (this.#parts.remembered?.size ?? 0);
  }

  /** The same, to be read on without remembering commands. */
  toRead(): EntityCopy<State> {
    return new EntityCopy(this.definition, this.id, { ...this.#parts, state: this.state, remembered: undefined });
  }

  /** A message of its subject, which cannot be read or is not one of the entity: it is passed over. */
  pass(sequence: number): void {
    this.#parts = { ...this.#parts, sequence };
  }

  /** A message without events: no attempt of the send that its head names is applied from now on. */
  end(send: string, { sequence, time }: Pick<StoredAt, "sequence" | "time">): void {
    if (send !== "") this.#parts.remembered?.end(send, time);
    this.pass(sequence);
  }

  /**
   * The next message of its subject. Returns why it was passed over, if it does not continue these events. Throws `UNAVAILABLE` if events
   * before it are missing, or this node cannot apply one of these; and what an `apply` function throws.
   */
  take(group: EntityGroup, { sequence, time, size }: StoredAt): string | undefined {
    const { name, initial } = this.definition;
    const { head, messages } = group;
    const parts = this.#parts;
    if (saysForgotten(group)) {
      const state = freezePlain(initial(this.id));
      this.#parts = { ...parts, state, version: head.version, sequence, size: SMALL, forgotten: true };
      return undefined;
    }
    if (parts.forgotten || head.version < parts.version) {
      this.pass(sequence);
      return `it continues version ${head.version}; the entity is at ${parts.version}`;
    }
    if (head.version > parts.version) {
      const missing = `events ${
        parts.version + 1
      } to ${head.version} of ${name} ${this.id} are missing from the stream`;
      throw new CatgaError("UNAVAILABLE", missing);
    }
    if (messages.length === 0) {
      this.end(head.command, { sequence, time });
      return undefined;
    }
    const payloads = payloadsOf(messages);
    if (payloads === undefined) {
      this.pass(sequence);
      return "a payload cannot be decoded";
    }
    let { state } = parts;
    messages.forEach(({ category }, i) => {
      const refuse = (why: Inapplicable) => this.#inapplicable(why, category, parts.version + i + 1);
      state = applied(this.definition, state, category, payloads[i], refuse);
    });
    const { name: by, command, fingerprint, result } = head;
    this.change({ state, events: messages.length, sequence, time, size, name: by, command, fingerprint, result });
    return undefined;
  }

  /** Another node, whose definition is newer or older, may apply it: nothing was changed, and it may be tried again. */
  #inapplicable({ cause, message, error }: Inapplicable, event: string, version: number): CatgaError {
    const of = `${this.definition.name} ${this.id}`;
    const text = cause === "unknown event"
      ? `${of}: its event ${version}, ${event}, is not in this node's definition of ${this.definition.name}: deploy the definition with ` +
        `${event} to all nodes first, and what emits it after that`
      : `${of}: its event ${version} cannot be applied: ${message}; the schema of an event has to accept all that is stored`;
    return new CatgaError("UNAVAILABLE", text, { retryable: true, cause: error });
  }

  /** What a command has changed. */
  change({ state, events, sequence, size, time, name, command, fingerprint, result }: Change<State>): void {
    const parts = this.#parts;
    parts.remembered?.add({ id: rememberedAs(name, command), fingerprint, result, time });
    this.#parts = {
      ...parts,
      state,
      version: parts.version + events,
      sequence,
      size: Math.min(LARGE, parts.size + size),
    };
  }

  /** Its state was written, and has this length. */
  measured(size: number): void {
    this.#parts = { ...this.#parts, size: SMALL + size };
  }
}

/** The payloads of events; `undefined` if one of them, a tagged text, cannot be decoded: no handler's event was stored so. */
function payloadsOf(messages: EntityGroup["messages"]): readonly unknown[] | undefined {
  try {
    return messages.map(({ payload, tagged }) => tagged ? decodeText(payload as string) : payload);
  } catch {
    return undefined;
  }
}

/** Where a message stands, when it was stored, and how long it is. */
export interface StoredAt {
  readonly sequence: number;
  readonly time: number;
  readonly size: number;
}

/** An entity without events. */
export function blank<State>(definition: EntityDefinition<State>, id: string, remember: boolean): EntityCopy<State> {
  return new EntityCopy(definition, id, {
    state: freezePlain(definition.initial(id)),
    version: 0,
    sequence: 0,
    size: SMALL,
    remembered: remember ? new Remembered() : undefined,
    forgotten: false,
  });
}

/** What an entity without events takes, in bytes, about. */
const SMALL = 512;
/** What is assumed at most of a state that was never measured, in bytes. */
const LARGE = 1_048_576;
