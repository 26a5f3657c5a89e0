/** What a message carries besides its payload, and what a context needs of its app. */
import type { AnyContract } from "../contract/contract.ts";
import type { Context } from "../contract/context.ts";
import type { EntityBody } from "../contract/entity_body.ts";
import type { AnyEntity, LoadedEntity, LoadOptions } from "../contract/entity_definition.ts";
import type { AnySignal, AnyWorkflow, ResultOptions, StartOptions, TellOptions } from "../contract/flow.ts";
import type { EnqueueOptions, KeepOptions } from "../contract/kept.ts";
import type { Result } from "../contract/result.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { BroadcastResult, SendAllOptions } from "../contract/sender.ts";
import type { RunDriver } from "../contract/workflow_body.ts";
import type { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import type { Deadlined, DeadlineWheel } from "./deadline_wheel.ts";
import type { SharedState } from "./shared_state.ts";

/** What a message carries besides its payload. */
export interface Envelope {
  /** Identifies this run of a handler among all runs: `<endpoint>.<number>…`. */
  readonly call: string;
  readonly id: string;
  readonly attempt: number;
  readonly correlation: string | undefined;
  readonly causation: string | undefined;
  /** The runs that wait for this one, outermost first. */
  readonly ancestry: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** The routing key in the sender's options; of an ordered contract. */
  readonly key?: string | undefined;
  /** Of a command of an entity that has an id of its sender's: names this send, in all of its attempts. */
  readonly send?: string | undefined;
  /** Of a command of an entity that may have been decided before: how long before its deadline it was sent first, in ms. */
  readonly span?: number | undefined;
  /** When it was sent first, as far as is known here, by the monotonic clock of this process; it was now. */
  readonly sentAt?: number | undefined;
  /** Of a message of the log that a node runs: when it was stored, by the server's clock, in ms since 1970. */
  readonly storedAt?: number | undefined;
  /** Of a message of the log: where it stands. */
  readonly position?: number | undefined;
  /** Of a message of the log: the token of its leader. */
  readonly fence?: number | undefined;
}

/** The message whose handler sends: its sends inherit its deadline, its abort and its trace. */
export interface ParentMessage extends Context {
  readonly envelope: Envelope;
  /** Why it was aborted, or how its claim was lost; `undefined` if neither. */
  readonly aborted: CatgaError | undefined;
  /** Sends are aborted with the message whose handler sent them. */
  readonly execution: {
    adopt(child: Deadlined): void;
    release(child: Deadlined): void;
  };
  /** The time until its deadline, in ms; `now` by the monotonic clock. */
  remaining(now: number): number;
}

/** The message whose handler decides a command of an entity. */
export interface DecidingMessage extends Context {
  readonly contract: AnyContract;
  readonly envelope: Envelope;
  /** Why it was aborted; `undefined`: it was not. */
  readonly aborted: CatgaError | undefined;
  readonly execution: {
    /** The payload before the schema. */
    readonly payload: unknown;
    /** It waits for its turn: aborted meanwhile, it certainly did not run. */
    awaitingTurn: boolean;
    /** The value of `work`, user code for this message; the value of `onAbort` if the message is aborted first. */
    until<T>(work: Promise<T>, onAbort: (reason: CatgaError) => T): Promise<T>;
  };
  /** The time until its deadline, in ms; `now` by the monotonic clock. */
  remaining(now: number): number;
}

/** What contexts need of their app. */
export interface ContextHost extends RunSender {
  readonly node: string;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  /** How many asynchronous handlers run, and how many sends wait for an answer: a drain waits for them. */
  pending: number;
  /** To be called whenever {@link ContextHost.pending} has become 0. */
  idle(): void;
  /** Locks, claims and the cache. */
  readonly state: SharedState;
  /** Reports an error that no caller receives. */
  fault(during: string, error: unknown): void;
  /** A new id for a run or a message. */
  nextCall(): string;
  send(contract: AnyContract, payload: unknown, options: SendOptions, parent: ParentMessage): Promise<Result<unknown>>;
  sendAll(
    contract: AnyContract,
    payloads: Iterable<unknown>,
    options: SendAllOptions,
    parent: ParentMessage,
  ): Promise<Result<unknown>[]>;
  publish(contract: AnyContract, payload: unknown, options: KeepOptions, parent: ParentMessage): Promise<Result<void>>;
  enqueue(
    contract: AnyContract,
    payload: unknown,
    options: EnqueueOptions,
    parent: ParentMessage,
  ): Promise<Result<void>>;
  unschedule(contract: AnyContract, id: string): Promise<boolean>;
  broadcast(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    parent: ParentMessage,
  ): Promise<BroadcastResult<unknown>[]>;
  /** Loads an entity. Rejects with a `TypeError` for misuse, and with a `CatgaError`. */
  load<State>(entity: AnyEntity<State>, id: string, options?: LoadOptions): Promise<LoadedEntity<State>>;
  /** Has a command of an entity decided, and stores what it emits. */
  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage): Promise<unknown>;
}

/** Starts runs of workflows, and reaches them. */
export interface RunSender {
  /** Drives those that this node handles. Rejects with a `CatgaError`. */
  nodeRuns(): Promise<RunDriver>;
  start(workflow: AnyWorkflow, input: unknown, options?: StartOptions): Promise<Result<string, never>>;
  result(workflow: AnyWorkflow, run: string, options?: ResultOptions): Promise<Result<unknown>>;
  tell(signal: AnySignal, run: string, payload: unknown, options?: TellOptions): Promise<Result<void, never>>;
  cancel(workflow: AnyWorkflow, run: string, reason: string): Promise<Result<void, never>>;
}

/** No headers. */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
