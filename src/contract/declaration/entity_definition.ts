/**
 * An entity as the handlers of its commands see it, and the internal definition of a type of entity, which the folder
 * `entities/` uses.
 */
import type { AnyContract, Contract } from "./contract.ts";
import { disown, freezePlain, show } from "../../data/checks.ts";
import { issueWithPath, validate } from "../schemas/schema.ts";

/**
 * An event that `emit` takes: an event of the entity whose command is being handled. Its type has the types of that
 * entity's state and of the payload.
 */
export interface OfEntity<State, In> extends Contract<"event", In, void> {
  /** Compile time only: carries the type of the state. */
  readonly "~state": (state: State) => State;
}

/** An entity as the handler of one of its commands gets it. */
export interface Loaded<State> {
  /** The entity's id: the key of the command. */
  readonly id: string;
  /** Number of stored events of the entity, without the events that the running command has emitted. */
  readonly version: number;
  /**
   * State of the entity after its stored events and the events emitted so far. The state is frozen, arrays and plain
   * objects in depth: emit events to change it.
   */
  readonly state: State;
  /** Emits an event. All events of a command are stored together when the handler has returned without failing. */
  emit<In>(
    event: OfEntity<State, In>,
    ...args: undefined extends In ? [payload?: NoInfer<In>] : [payload: NoInfer<In>]
  ): void;
}

/** Internal: a type of entity. */
export interface EntityDefinition<State> {
  /** The name of the type of entity. */
  readonly name: string;
  /** Makes the state of an entity that has no events yet. */
  readonly initial: (id: string) => State;
  /** Version of the `apply` functions, which snapshots are stored with. */
  readonly version: number;
  /** The events of the type of entity, by the names of their contracts. */
  readonly events: Map<string, EntityEventDefinition<State>>;
}

/** Internal: one event of a type of entity. */
export interface EntityEventDefinition<State> {
  /** The event contract that subscribers handle. */
  readonly contract: AnyContract;
  /** Computes the state after the event from the state before it. */
  readonly apply: (state: State, payload: unknown) => State;
}

/** An entity, as returned by `load`. */
export interface LoadedEntity<State> {
  /** The entity's id. */
  readonly id: string;
  /** Number of the entity's stored events. */
  readonly version: number;
  /**
   * State of the entity after its stored events. Other callers of `load` get the same object, so it is frozen, arrays
   * and plain objects in depth.
   */
  readonly state: State;
}

/** Options of `app.load`, which reads an entity. */
export interface LoadOptions {
  /**
   * True reads up to the newest event, from the NATS server that leads the stream of events; false may read from
   * another server, which may lag a little. Default: `false`.
   */
  latest?: boolean | undefined;
}

/** A type of entity, as `load` and `forget` take it. */
export interface AnyEntity<State> {
  /** The name of the type of entity. */
  readonly name: string;
  /** Internal: the initial state, events and version of the type of entity. */
  readonly "~entity": EntityDefinition<State>;
}

// An entity whose command is being handled: its state, and the events emitted so far.

/** An emitted event. Its payload is stored as the handler gave it. */
export interface EmittedPayload {
  readonly event: string;
  readonly payload: unknown;
}

/**
 * The entity that the handler of one of its commands gets: the implementation of {@link Loaded}.
 * @decides `emit` within a command of an entity: the event is applied to the state at once; what `apply` may return
 */
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
      const got = event?.kind === "event" ? `event ${event.name}` : show(event);
      throw new TypeError(`emit takes an event of ${this.#definition.name}; got ${got}`);
    }
    this.#state = applied(this.#definition, this.#state, event.name, payload);
    this.emitted.push({ event: event.name, payload });
  }

  /** Ends the command: from now on, `emit` throws. Called when the handler has ended. */
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
  /** The error that the event's schema threw. */
  readonly error?: unknown;
}

/**
 * Returns the state after an event. If the event cannot be applied (see {@link Inapplicable}), it throws the error that
 * `refuse` makes, or a `TypeError` without `refuse`; it also throws an error that `apply` throws.
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

/**
 * Returns the state that `apply` returned, frozen; throws if `apply` returned no state, so that such an event is never
 * stored.
 */
function nextState<State>(next: State, before: State, event: string): State {
  if (!(next instanceof Promise) && (next !== undefined || before === undefined)) return next;
  disown(next);
  const what = next === undefined ? "undefined" : "a promise";
  throw new TypeError(`the function of the event ${event} must return the next state; got ${what}`);
}

/**
 * Returns the state of an entity that has no events, frozen. Throws an error that `initial` throws, and a `TypeError`
 * if `initial` returns no state.
 */
export function initialState<State>({ name, initial }: EntityDefinition<State>, id: string): State {
  const state = initial(id);
  if (!(state instanceof Promise)) return freezePlain(state);
  disown(state);
  throw new TypeError(`entity ${name}: initial must return the first state; got a promise`);
}
