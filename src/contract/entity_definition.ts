/** What an entity is to the handlers of its commands, and the inside of its definition, for `entities/`. */
import type { AnyContract, Contract } from "./contract.ts";

/** What `emit` needs of an event: its entity's state and its payload. */
export interface OfEntity<State, In> extends Contract<"event", In, void> {
  /** Carries the type of the state. */
  readonly "~state": (state: State) => State;
}

/** An entity while a command is decided. */
export interface Loaded<State> {
  /** Its id: the key of the command. */
  readonly id: string;
  /** How many events are stored of it, those that are emitted now not included. */
  readonly version: number;
  /** What its events, with those emitted so far, make of it. Frozen, arrays and plain objects in depth: emit events to change it. */
  readonly state: State;
  /** Has an event stored, with all others of this command as one, when the handler has returned without failing. */
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
  /** That of its `apply` functions. */
  readonly version: number;
  /** By the names of the contracts. */
  readonly events: Map<string, EntityEventDefinition<State>>;
}

/** One of its events. */
export interface EntityEventDefinition<State> {
  /** What subscribers handle. */
  readonly contract: AnyContract;
  /** Makes the next state. */
  readonly apply: (state: State, payload: unknown) => State;
}

/** An entity as `load` reads it. */
export interface LoadedEntity<State> {
  /** Its id. */
  readonly id: string;
  /** How many events it has had. */
  readonly version: number;
  /** What they made of it. Other readers get the same value: frozen, arrays and plain objects in depth. */
  readonly state: State;
}

/** Options of `load`. */
export interface LoadOptions {
  /** Reads up to the last event that the leader of the stream has; else from a server that may lag behind a little; `false`. */
  latest?: boolean | undefined;
}

/** What `load` and `forget` need of an entity. */
export interface AnyEntity<State> {
  /** The name of the type. */
  readonly name: string;
  /** The inside, for Catga. */
  readonly "~entity": EntityDefinition<State>;
}
