/** The entity as handlers of its commands see it, and the inside of its definition, for `entities/`. */
import type { AnyContract, Contract } from "./contract.ts";
import { disown, freezePlain, show } from "../data/checks.ts";
import { issueWithPath, validate } from "./schema.ts";

/** Type of an event that `emit` takes: its entity's state and its payload. */
export interface OfEntity<State, In> extends Contract<"event", In, void> {
  /** Carries the type of the state. */
  readonly "~state": (state: State) => State;
}

/** An entity while a command is decided. */
export interface Loaded<State> {
  /** Its id: the key of the command. */
  readonly id: string;
  /** Number of its stored events, without those that are being emitted. */
  readonly version: number;
  /**
   * State after its events and those emitted so far. Frozen, arrays and plain objects in depth: emit events to
   * change it.
   */
  readonly state: State;
  /**
   * Emits an event: it is stored with all others of this command as one, when the handler has returned without failing.
   */
  emit<In>(
    event: OfEntity<State, In>,
    ...args: undefined extends In ? [payload?: NoInfer<In>] : [payload: NoInfer<In>]
  ): void;
}

/** A type of entity. */
export interface EntityDefinition<State> {
  /** Its name. */
  readonly name: string;
  /** Makes the state of one without events. */
  readonly initial: (id: string) => State;
  /** Version of its `apply` functions. */
  readonly version: number;
  /** Events by the names of their contracts. */
  readonly events: Map<string, EntityEventDefinition<State>>;
}

/** One of its events. */
export interface EntityEventDefinition<State> {
  /** The event contract that subscribers handle. */
  readonly contract: AnyContract;
  /** Makes the next state. */
  readonly apply: (state: State, payload: unknown) => State;
}

/** An entity as `load` reads it. */
export interface LoadedEntity<State> {
  /** Its id. */
  readonly id: string;
  /** Number of its events. */
  readonly version: number;
  /** State after its events. Other readers get the same value: frozen, arrays and plain objects in depth. */
  readonly state: State;
}

/** Options of `load`. */
export interface LoadOptions {
  /**
   * Reads up to the last event that the leader of the stream has; else from a server that may lag behind a little;
   * `false`.
   */
  latest?: boolean | undefined;
}

/** Type of an entity that `load` and `forget` take. */
export interface AnyEntity<State> {
  /** The name of the type. */
  readonly name: string;
  /** The inside, for Catga. */
  readonly "~entity": EntityDefinition<State>;
}

// An entity while a command is decided: its state, and what has been emitted.

/** An event that was emitted: its payload as it was given, which is what is stored. */
export interface EmittedPayload {
  readonly event: string;
  readonly payload: unknown;
}

/** The implementation of {@link Loaded}. */
export class Deciding<State> implements Loaded<State> {
  readonly id: string;
  readonly version: number;
  #state: State;
  readonly #definition: EntityDefinition<State>;
  readonly emitted: EmittedPayload[] = [];
  #over = false;

  constructor(definition: EntityDefinition<State>, id: string, version: number, state: State) {
    this.#definition = definition;
    this.id = id;
    this.version = version;
    this.#state = state;
  }

  get state(): State {
    return this.#state;
  }

  emit(event: AnyContract, payload?: unknown): void {
    if (this.#over) {
      throw new TypeError(`emit ${event?.name}: the command of ${this.#definition.name} ${this.id} has ended`);
    }
    const known = typeof event?.name === "string" ? this.#definition.events.get(event.name) : undefined;
    if (known === undefined || known.contract.name !== event.name) {
      throw new TypeError(`emit takes an event of ${this.#definition.name}; got ${show(event)}`);
    }
    this.#state = applied(this.#definition, this.#state, event.name, payload);
    this.emitted.push({ event: event.name, payload });
  }

  /** Ends the emitting. */
  end(): void {
    this.#over = true;
  }
}

/**
 * Why an event cannot be applied: the entity does not have it; its schema refuses its payload, throws, or checks
 * asynchronously.
 */
export interface Inapplicable {
  readonly cause: "unknown event" | "schema";
  readonly message: string;
  /** The error that the schema threw. */
  readonly error?: unknown;
}

/**
 * The next state. Throws the error that `refuse` makes of an event that cannot be applied, else a `TypeError`; and what
 * `apply` throws.
 */
export function applied<State>(
  definition: EntityDefinition<State>,
  state: State,
  event: string,
  payload: unknown,
  refuse: (why: Inapplicable) => Error = ({ message, error }) =>
    new TypeError(message, error === undefined ? {} : { cause: error }),
): State {
  const known = definition.events.get(event);
  if (known === undefined) {
    throw refuse({ cause: "unknown event", message: `${definition.name} has no event ${event}` });
  }
  const schema = known.contract.options.input;
  if (schema === undefined) return nextState(known.apply(state, payload), state, known.contract.name);
  const parsed = validate(schema, payload, "INVALID_MESSAGE", event);
  if (parsed instanceof Promise) {
    const message = `the schema of ${event} checks asynchronously: events of an entity need one that does not`;
    throw refuse({ cause: "schema", message });
  }
  if (!parsed.ok) {
    const { cause: error } = parsed.error;
    const message = `the schema of ${event} refuses its payload: ${issueWithPath(parsed.error)}`;
    throw refuse({ cause: "schema", message, ...(error === undefined ? {} : { error }) });
  }
  return nextState(known.apply(state, parsed.value as never), state, known.contract.name);
}

/** Refuses what is no state, before it is stored that the event has led there. */
function nextState<State>(next: State, before: State, event: string): State {
  if (!(next instanceof Promise) && (next !== undefined || before === undefined)) return next;
  disown(next);
  const what = next === undefined ? "undefined" : "a promise";
  throw new TypeError(`the function of the event ${event} must return the next state; got ${what}`);
}

/** The state of an entity without events, frozen. Throws what `initial` throws, and a `TypeError` if it is no state. */
export function initialState<State>({ name, initial }: EntityDefinition<State>, id: string): State {
  const state = initial(id);
  if (!(state instanceof Promise)) return freezePlain(state);
  disown(state);
  throw new TypeError(`entity ${name}: initial must return the first state; got a promise`);
}
