/** The envelope of a message, and the interfaces of an app that a context depends on. */
import type { AnyContract } from "../contract/contract.ts";
import type { Context } from "../contract/context.ts";
import type { EntityBody } from "../contract/handler.ts";
import type { AnyEntity, EntityDefinition, LoadedEntity, LoadOptions } from "../contract/entity_definition.ts";
import type { AnySignal, AnyWorkflow, ResultOptions, StartOptions, TellOptions } from "../contract/flow.ts";
import type { EnqueueOptions, KeepOptions } from "../contract/durable_messages.ts";
import type { Observer } from "../contract/observer.ts";
import type { Result } from "../contract/result.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { BroadcastResult, SendAllOptions } from "../contract/sender.ts";
import type { RunDriver } from "../contract/workflow_body.ts";
import type { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import type { Deadlined, DeadlineWheel } from "../ports/deadline_wheel.ts";
import type { UnderWay } from "../ports/under_way.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { StreamOptions } from "../contract/send_options.ts";
import type { ItemTarget, StreamEngine } from "./item_ports.ts";
import type { Cache, ClaimedRun, LeadOptions, Lock, LockOptions, Term } from "../contract/shared_state.ts";

/** Metadata of a message. */
export interface Envelope {
  /** Name of this run of a handler, unique among all runs: `<endpoint>.<number>…`. */
  readonly call: string;
  readonly id: string;
  readonly attempt: number;
  readonly correlation: string | undefined;
  readonly causation: string | undefined;
  /** The runs that wait for this run, outermost first. */
  readonly ancestry: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** Ordered contracts only: the routing key in the sender's options. */
  readonly key?: string | undefined;
  /** Commands of entities with an id from the sender only: name of this send, the same in all of its attempts. */
  readonly send?: string | undefined;
  /** Commands of entities that may have been decided before only: time from the first send to the deadline, in ms. */
  readonly span?: number | undefined;
  /**
   * True for an event that another node of the service refused: only handlers that run once in each service take it,
   * and it is not passed on again.
   */
  readonly passedOn?: true | undefined;
  /** True if the message came without an envelope: this run is its only attempt, and its id was made for this run. */
  readonly only?: true;
  /**
   * Time of the first send, as far as known here, by the monotonic clock of this process; absent: it was sent just now.
   */
  readonly sentAt?: number | undefined;
  /** Streams only: the target of the handler's items. */
  readonly items?: ItemTarget | undefined;
  /** Messages of the log only: the time of storing, by the server's clock, in ms since 1970. */
  readonly storedAt?: number | undefined;
  /** Scheduled messages of the log only: the time that the message was scheduled for, in ms since 1970. */
  readonly due?: number | undefined;
  /** Messages of the log only: the position in the log. */
  readonly position?: number | undefined;
  /** Messages of the log only: the fencing token of the subscription's leader. */
  readonly fence?: number | undefined;
  /**
   * Messages of the log only, whose own time begins with their turn: returns the time until which the sender waits, by
   * the monotonic clock.
   */
  senderWaits?(now: number): number | undefined;
}

/** The message whose handler sends: its sends inherit its deadline, its abort and its trace. */
export interface ParentMessage extends Context {
  readonly envelope: Envelope;
  /** Why the message was aborted, or how its claim was lost; `undefined` if neither. */
  readonly aborted: CatgaError | undefined;
  /** Aborts sends together with the message whose handler sent them. */
  readonly execution: {
    adopt(child: Deadlined): void;
    release(child: Deadlined): void;
  };
  /** The time until the message's deadline, in ms; `now` by the monotonic clock. */
  remaining(now: number): number;
}

/** The message whose handler decides a command of an entity. */
export interface DecidingMessage extends Context {
  readonly contract: AnyContract;
  readonly envelope: Envelope;
  /** Why the message was aborted; `undefined`: it was not. */
  readonly aborted: CatgaError | undefined;
  readonly execution: {
    /** The payload before the schema. */
    readonly payload: unknown;
    /** `turn` while the message waits for its turn: if it is aborted meanwhile, it certainly did not run. */
    stage: Stage;
    /**
     * Resolves like `work`, user code for this message; or with the value of `onAbort` if the message is aborted first.
     */
    until<T>(work: Promise<T>, onAbort: (reason: CatgaError) => T): Promise<T>;
  };
  /** The time until the message's deadline, in ms; `now` by the monotonic clock. */
  remaining(now: number): number;
}

/** The receiver of an outcome, which is called once: the functions of a promise, or an object that costs less. */
export interface Settling {
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

/**
 * Stage of a message on its way to its handler, which begins in the last stage. Waiting for admission is independent of
 * the stage.
 *
 * | stage       | what runs                                    | when it is aborted                           |
 * | ----------- | -------------------------------------------- | -------------------------------------------- |
 * | `preparing` | an asynchronous schema, or a behavior        | it is dropped; its handler does not begin    |
 * | `claiming`  | acquiring the claim of an idempotent command | the claim handles that, and settles it       |
 * | `turn`      | a command waits for its turn at its entity   | it fails; its handler does not begin         |
 * | `handler`   | the handler, or nothing before it            | it fails; a command may have had its effect  |
 */
export type Stage = "preparing" | "claiming" | "turn" | "handler";

/** The parts of an app that contexts depend on. */
export interface ContextHost extends RunSender {
  readonly node: string;
  /** Aborts when the node drains, once new messages go to other nodes. */
  readonly draining: AbortSignal;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  /** Counts asynchronous handlers that run, and sends that wait for an answer: a drain waits for them. */
  readonly underWay: Pick<UnderWay, "begin" | "end">;
  /** The locks, claims and cache of the node. */
  readonly state: SharedState;
  readonly observer: Observer;
  /** Reports an error that no caller receives. */
  fault(during: string, error: unknown): void;
  /** Called when a handler of this contract passes its deadline: its message is aborted with this error. */
  expired(contract: AnyContract, error: CatgaError): void;
  /** Makes a new id for a run or a message. */
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
  unschedule(contract: AnyContract | AnyWorkflow, id: string): Promise<boolean>;
  /** Returns the engine that reads and feeds streams, loaded when it is first needed. */
  streams(): Promise<StreamEngine>;
  stream(
    contract: AnyContract,
    input: unknown,
    options: StreamOptions,
    parent?: ParentMessage,
  ): AsyncIterableIterator<unknown>;
  broadcast(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    parent: ParentMessage,
  ): Promise<BroadcastResult<unknown>[]>;
  /** Loads an entity. Rejects with a `TypeError` for misuse, and with a `CatgaError`. */
  load<State>(entity: AnyEntity<State>, id: string, options?: LoadOptions): Promise<LoadedEntity<State>>;
  /** Lets an entity decide a command, and stores the events that it emits. */
  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage, to: Settling): void;
}

/** Starts runs of workflows, and sends to them. */
export interface RunSender {
  /** Returns the driver of the runs that this node handles. Rejects with a `CatgaError`. */
  nodeRuns(): Promise<RunDriver>;
  /** Starts a run. `parent`: the message whose handler starts it; the run inherits its headers. */
  start(
    workflow: AnyWorkflow,
    input: unknown,
    options?: StartOptions,
    parent?: Context,
  ): Promise<Result<string, never>>;
  result(workflow: AnyWorkflow, run: string, options?: ResultOptions): Promise<Result<unknown>>;
  tell(signal: AnySignal, run: string, payload: unknown, options?: TellOptions): Promise<Result<void, never>>;
  cancel(workflow: AnyWorkflow, run: string, reason: string): Promise<Result<void, never>>;
}

// The interface that an app uses of its entities. `entities/` implements it, `catga.ts` connects it.

/** The entities of a namespace, as one node reads and changes them. */
export interface Entities {
  /**
   * Decides a command: loads the entity, calls the handler, and stores the emitted events. Resolves `to` with the
   * handler's return value or failure; for a command that was stored already, with its recorded result. Rejects `to`
   * with a `CatgaError`, or with an error that the handler throws.
   */
  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage, to: Settling): void;
  load<State>(definition: EntityDefinition<State>, id: string, options: LoadOptions): Promise<LoadedEntity<State>>;
  forget<State>(definition: EntityDefinition<State>, id: string): Promise<void>;
  /** Waits for snapshots that are being written. */
  close(): Promise<void>;
}

// The interface that an app uses of the state that nodes share; `state/` implements it.

/** Requester of a lock: a run of a handler, or code outside of handlers. */
export interface Asker {
  /** Name of the run, unique among all runs. */
  readonly call: string;
  /** The runs that wait for this run to end, outermost first. */
  readonly ancestry: readonly string[];
}

/** The locks of a cluster. */
export interface Locks {
  /**
   * Takes the lock of a key, or of several keys in sorted order: all or none. Rejects with a `CatgaError`: see
   * {@link LockOptions}, `DEADLOCK`.
   */
  lock(keys: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock>;
  /** Releases the locks of this node; waits for locks are rejected with `CLOSED`. */
  close(): Promise<void>;
}

/** An idempotent message, whose id is to have one recorded result. */
export interface Claimant {
  readonly contract: string;
  readonly id: string;
  /** The payload before the schema. Its fingerprint detects reuse of the id for another payload. */
  readonly payload: unknown;
  /** Retention of a result, in ms. */
  readonly ttl: number;
  /** Deadline of the caller, by the monotonic clock. */
  readonly due: number;
  /** Aborts the attempt to get the claim when the message is aborted, or at once if it was. Called at most once. */
  adopt(attempt: Deadlined): void;
  /**
   * Called at most once, before the result of `run` is recorded, if the claim is lost: another attempt may run from now
   * on.
   */
  lost(reason: CatgaError): void;
}

/** Idempotency: one recorded result for each id of a command. */
export interface Claims {
  /**
   * Calls `run` with the claim's revision (the fence) if the id is new, and records its result. If the id has a result,
   * or another attempt is running, resolves with the recorded result; `ID_REUSED` for another payload. Never rejects.
   */
  guard(claimant: Claimant, run: ClaimedRun): Promise<Result<unknown>>;
  /** Removes a recorded failure, so that the id may be tried again. Rejects if the store does not answer. */
  forgetFailure(contract: string, id: string): Promise<void>;
  /** Ends waits for claims, and the renewing of claims. */
  close(): Promise<void>;
}

/** Liveness of processes, for leases; the cluster implements it. */
export interface Liveness {
  /**
   * Resolves with true if pings to this endpoint have bounced for longer than a process needs to return after it lost
   * its connection for up to 4 s; with false if that is not known, or if the endpoint answers.
   */
  gone(endpoint: string): Promise<boolean>;
}

/** Locks and leaderships of a node, for its statistics. */
export interface Holdings {
  /** Names of the leaderships that the node holds. */
  readonly leads: readonly string[];
  /** Number of locks that the node holds. */
  readonly locks: number;
  /** Number of locks that the node gave up because waiting for them would never have ended. */
  readonly cycles: number;
}

/** The locks, claims, cache and leadership of one node. */
export interface SharedState {
  /** Computed at each reading. */
  readonly holdings: Holdings;
  readonly locks: Locks;
  readonly claims: Claims;
  readonly cache: Cache;
  /** Runs `fn` whenever this node leads `name`. */
  lead(name: string, fn: (signal: AbortSignal) => MaybePromise<unknown>, options?: LeadOptions): Term;
  /** Gives up every leadership; other nodes take over at once. */
  abdicate(): Promise<void>;
  /** Releases the locks and claims that this node holds. */
  close(): Promise<void>;
}
