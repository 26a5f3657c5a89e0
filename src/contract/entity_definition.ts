/** An entity as handlers of its commands see it, and the internal definition of a type of entity, for `entities/`. */
import type { AnyContract, Contract } from "./contract.ts";
import { disown, freezePlain, show } from "../data/checks.ts";
import { issueWithPath, validate } from "./schema.ts";

/** Type of an event that `emit` takes, with the types of its entity's state and of its payload. */
export interface OfEntity<State, In> extends Contract<"event", In, void> {
  /** Carries the type of the state. */
  readonly "~state": (state: State) => State;
}

/** An entity while a command is decided. */
export interface Loaded<State> {
  /** The entity's id: the key of the command. */
  readonly id: string;
  /** Number of stored events, without events that the command has emitted. */
  readonly version: number;
  /**
   * State after the stored events and the events emitted so far. Frozen, arrays and plain objects in depth: emit events
   * to change it.
   */
  readonly state: State;
  /** Emits an event. All events of a command are stored together when the handler has returned without failing. */
  emit<In>(
    event: OfEntity<State, In>,
    ...args: undefined extends In ? [payload?: NoInfer<In>] : [payload: NoInfer<In>]
  ): void;
}

/** The definition of a type of entity. */
export interface EntityDefinition<State> {
  /** The name of the type. */
  readonly name: string;
  /** Returns the state of an entity without events. */
  readonly initial: (id: string) => State;
  /** Version of the `apply` functions. */
  readonly version: number;
  /** The type's events, by the names of their contracts. */
  readonly events: Map<string, EntityEventDefinition<State>>;
}

/** An event of an entity's definition. */
export interface EntityEventDefinition<State> {
  /** The event contract that subscribers handle. */
  readonly contract: AnyContract;
  /** Returns the next state. */
  readonly apply: (state: State, payload: unknown) => State;
}

/** An entity, as returned by `load`. */
export interface LoadedEntity<State> {
  /** The entity's id. */
  readonly id: string;
  /** Number of the entity's events. */
  readonly version: number;
  /** State after these events. Other readers get the same value: frozen, arrays and plain objects in depth. */
  readonly state: State;
}

/** Options of `load`. */
export interface LoadOptions {
  /**
   * True reads up to the last event that the leader of the stream has; false reads from a server that may lag a little.
   * Default: `false`.
   */
  latest?: boolean | undefined;
}

/** Type of an entity that `load` and `forget` take. */
export interface AnyEntity<State> {
  /** The name of the type. */
  readonly name: string;
  /** Internal: the definition of the entity. */
  readonly "~entity": EntityDefinition<State>;
}

// An entity while a command is decided: its state, and the events emitted so far.

/** An emitted event with its payload as given, which is also how it is stored. */
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

  /** Forbids further events: called when the handler has ended. */
  end(): void {
    this.#over = true;
  }
}

/**
 * Reason why an event cannot be applied: the entity does not define it, or its schema refuses the payload, throws, or
 * is asynchronous.
 */
export interface Inapplicable {
  readonly cause: "unknown event" | "schema";
  readonly message: string;
  /** The error that the schema threw. */
  readonly error?: unknown;
}

/**
 * Returns the next state. If the event cannot be applied, throws the error that `refuse` makes, or a `TypeError`
 * without `refuse`. Throws an error that `apply` throws.
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

/** Throws if `apply` returned no state, before the event is stored. */
function nextState<State>(next: State, before: State, event: string): State {
  if (!(next instanceof Promise) && (next !== undefined || before === undefined)) return next;
  disown(next);
  const what = next === undefined ? "undefined" : "a promise";
  throw new TypeError(`the function of the event ${event} must return the next state; got ${what}`);
}

/**
 * Returns the state of an entity without events, frozen. Throws an error that `initial` throws, and a `TypeError` if
 * `initial` returns no state.
 */
export function initialState<State>({ name, initial }: EntityDefinition<State>, id: string): State {
  const state = initial(id);
  if (!(state instanceof Promise)) return freezePlain(state);
  disown(state);
  throw new TypeError(`entity ${name}: initial must return the first state; got a promise`);
}
