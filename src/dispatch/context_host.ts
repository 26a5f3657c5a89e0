/** The metadata of a message (its envelope), and the interfaces of an app on which a handler's context depends. */
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Context } from "../contract/calls/context.ts";
import type { EntityBody } from "../contract/declaration/handler.ts";
import type {
  AnyEntity,
  EntityDefinition,
  LoadedEntity,
  LoadOptions,
} from "../contract/declaration/entity_definition.ts";
import type {
  AnyQuestion,
  AnySignal,
  AnyWorkflow,
  AskOptions,
  ResultOptions,
  StartOptions,
  TellOptions,
} from "../contract/calls/flow.ts";
import type { EnqueueOptions, KeepOptions } from "../contract/calls/durable_messages.ts";
import type { Observer } from "../contract/nodes/observer.ts";
import type { Result } from "../contract/calls/result.ts";
import type { SendOptions } from "../contract/calls/send_options.ts";
import type { BroadcastResult, SendAllOptions } from "../contract/calls/sender.ts";
import type { RunDriver } from "../contract/declaration/workflow_body.ts";
import type { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import type { Deadlined, DeadlineWheel } from "../ports/deadline_wheel.ts";
import type { UnderWay } from "../ports/under_way.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import type { StreamOptions } from "../contract/calls/send_options.ts";
import type { ItemTarget, StreamEngine } from "./item_ports.ts";
import type { Cache, ClaimedRun, LeadOptions, Lock, LockOptions, Term } from "../contract/calls/shared_state.ts";

/** Metadata of a message. */
export interface Envelope {
  /** Name of this run of a handler, unique among all runs: the endpoint of its process, then numbers. */
  readonly call: string;
  readonly id: string;
  readonly attempt: number;
  readonly correlation: string | undefined;
  readonly causation: string | undefined;
  /**
   * Names of the runs of handlers that wait for this run to end, outermost first; each name is the member `call` of a
   * run's envelope.
   */
  readonly ancestry: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** Ordered contracts only: the routing key that the sender gave in its options. */
  readonly key?: string | undefined;
  /**
   * Name of this send, the same in all of its attempts. Only commands of entities to which the sender gave an id have
   * it; `undefined` for all other messages.
   */
  readonly send?: string | undefined;
  /**
   * Time from the first send with this id to the deadline of this send, in ms. Only commands of entities that an
   * earlier send or attempt with this id may have applied have it; `undefined` for all other messages.
   */
  readonly span?: number | undefined;
  /**
   * True for an event that another node of the service passed on to this node, because that node's schema had refused
   * it: only handlers that run once in each service get it, and it is not passed on again.
   */
  readonly passedOn?: true | undefined;
  /** True for a command that an earlier attempt may have run; see `Meta.ran`. */
  readonly ran?: true | undefined;
  /** True if the message came without metadata, so that this process made its id: no other attempt of it exists. */
  readonly only?: true;
  /**
   * Time at which the message was first sent, as far as this process knows, by its monotonic clock; absent: it was sent
   * just now.
   */
  readonly sentAt?: number | undefined;
  /** Streams only: where the handler's items go. */
  readonly items?: ItemTarget | undefined;
  /** Messages of the log only: the time at which the message was stored, by the server's clock, in ms since 1970. */
  readonly storedAt?: number | undefined;
  /** Scheduled messages of the log only: the time for which the message was scheduled, in ms since 1970. */
  readonly due?: number | undefined;
  /** Messages of the log only: the message's position in the log. */
  readonly position?: number | undefined;
  /** Messages of the log only: the fencing token of the subscription's leader. */
  readonly fence?: number | undefined;
  /** Messages and batches of the log only: label of the subscription, `<service>/<name>`. */
  readonly subscription?: string | undefined;
  /**
   * For messages of the log: returns the time until which the subscription's leader would wait for the result of a
   * handler that is still waiting for a place, by the monotonic clock; `now`: the present time of that clock. Such a
   * message's timeout begins only when its handler begins. Absent, or returns `undefined`, if the timeout begins when
   * the message arrives.
   */
  senderWaits?(now: number): number | undefined;
}

/** The message whose handler sends another message, which inherits its deadline, its abort and its trace. */
export interface ParentMessage extends Context {
  readonly envelope: Envelope;
  /**
   * The error with which the message was aborted, or lost its claim (record that reserves its id); `undefined`: neither
   * happened.
   */
  readonly aborted: CatgaError | undefined;
  /** The deadline and the abort of the message: sends that its handler makes are aborted together with it. */
  readonly execution: {
    adopt(child: Deadlined): void;
    release(child: Deadlined): void;
    /** Aborts the message if it was not aborted: its deadline has passed. */
    pastDeadline(): void;
  };
  /** Returns the time until the message's deadline, in ms. `now`: the time by the monotonic clock. */
  remaining(now: number): number;
}

/** A command that an entity handles. */
export interface DecidingMessage extends Context {
  readonly contract: AnyContract;
  readonly envelope: Envelope;
  /** The error with which the message was aborted; `undefined`: it was not. */
  readonly aborted: CatgaError | undefined;
  readonly execution: {
    /** The payload as the sender gave it, before the schema parsed it. */
    readonly payload: unknown;
    /**
     * Stage of the message on the way to its handler. `turn` while it waits until earlier commands of the entity have
     * ended: if it is aborted then, its handler certainly did not run.
     */
    stage: Stage;
    /**
     * Resolves or rejects like `work`, a promise of the program's code; or with the value of `onAbort` if the message
     * is aborted before `work` has settled.
     */
    until<T>(work: Promise<T>, onAbort: (reason: CatgaError) => T): Promise<T>;
  };
  /** Returns the time until the message's deadline, in ms. `now`: the time by the monotonic clock. */
  remaining(now: number): number;
}

/**
 * The receiver of an outcome; one of its methods is called, once. It may be the functions of a promise, or an object
 * that costs less.
 */
export interface Settling {
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

/**
 * Stage of a message on its way to its handler; the handler begins in the last stage. A message may wait for admission
 * (a free place at the handler) in any stage. The table has, for each stage, the code that runs in it, and what becomes
 * of a message that is aborted in it.
 *
 * | stage       | what runs                                                   | if the message is aborted                    |
 * | ----------- | ----------------------------------------------------------- | -------------------------------------------- |
 * | `preparing` | an asynchronous schema, or a behavior                       | it is dropped; its handler does not begin    |
 * | `claiming`  | acquiring the claim of an idempotent command                | the claim is aborted, and gives the outcome  |
 * | `turn`      | nothing: a command waits for earlier commands of its entity | it fails; its handler does not begin         |
 * | `handler`   | the handler, or nothing before it begins                    | it fails; a command may have had its effect  |
 */
export type Stage = "preparing" | "claiming" | "turn" | "handler";

/** The parts of an app on which the contexts of its handlers depend. */
export interface ContextHost extends RunSender {
  readonly node: string;
  /** Aborts when the node shuts down in an orderly way, as soon as new messages go to other nodes. */
  readonly draining: AbortSignal;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  /** Counts asynchronous handlers that run, and sends that wait for an answer: a drain waits for them. */
  readonly underWay: Pick<UnderWay, "begin" | "end">;
  /** The locks, claims (records that reserve ids of commands) and cache of the node. */
  readonly state: SharedState;
  readonly observer: Observer;
  /** Reports an error that no caller receives. `during`: what was being done. */
  fault(during: string, error: unknown): void;
  /**
   * Counts a handler of this contract that runs past its deadline. `error`: the error with which its message is
   * aborted.
   */
  expired(contract: AnyContract, error: CatgaError): void;
  /** Makes a new id for a run of a handler, or for a message. */
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
  /** Returns the engine that sends and reads the items of streams, loaded when it is first needed. */
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
  /** Reads an entity. Rejects with a `TypeError` for misuse, and with a `CatgaError`. */
  load<State>(entity: AnyEntity<State>, id: string, options?: LoadOptions): Promise<LoadedEntity<State>>;
  /** Lets an entity handle a command, and stores the events that the handler emits. */
  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage, to: Settling): void;
}

/** Starts runs of workflows, and sends signals to them. */
export interface RunSender {
  /** Returns the part of the node that executes runs of workflows. Rejects with a `CatgaError`. */
  nodeRuns(): Promise<RunDriver>;
  /** Starts a run of a workflow. `parent`: the message whose handler starts it; the run inherits its headers. */
  start(
    workflow: AnyWorkflow,
    input: unknown,
    options?: StartOptions,
    parent?: Context,
  ): Promise<Result<string, never>>;
  result(workflow: AnyWorkflow, run: string, options?: ResultOptions): Promise<Result<unknown>>;
  tell(signal: AnySignal, run: string, payload: unknown, options?: TellOptions): Promise<Result<void, never>>;
  ask(question: AnyQuestion, run: string, payload: unknown, options?: AskOptions): Promise<Result<unknown>>;
  complete(token: string, value?: unknown): Promise<Result<void, never>>;
  cancel(workflow: AnyWorkflow, run: string, reason: string): Promise<Result<void, never>>;
}

// The interface of an app to its entities. The folder `entities/` implements it, `catga.ts` connects it.

/** The entities of a namespace, as one node reads and changes them. */
export interface Entities {
  /**
   * Handles a command: loads the entity, calls the handler, and stores the emitted events. Resolves `to` with the
   * value that the handler returns, which may be a `fail(…)`; for a command that was applied already, with its recorded
   * result. Rejects `to` with a `CatgaError`, or with what the handler throws.
   */
  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage, to: Settling): void;
  load<State>(definition: EntityDefinition<State>, id: string, options: LoadOptions): Promise<LoadedEntity<State>>;
  forget<State>(definition: EntityDefinition<State>, id: string): Promise<void>;
  /** Resolves when the snapshots that are being written are stored. */
  close(): Promise<void>;
}

// The interface of an app to the state that nodes share (locks, claims, cache); the folder `state/` implements it.

/** A run of a handler, or code outside of handlers, that requests a lock. */
export interface Asker {
  /** Name of the run of a handler that requests the lock, unique among all runs. */
  readonly call: string;
  /** Names of the runs of handlers that wait for the requesting run to end, outermost first. */
  readonly ancestry: readonly string[];
}

/** The locks of a cluster. */
export interface Locks {
  /**
   * Acquires the lock of a key, or the locks of several keys in sorted order: all or none. Rejects with a `CatgaError`,
   * among others `LOCK_TIMEOUT` and `DEADLOCK`.
   */
  lock(keys: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock>;
}

/**
 * An idempotent command, for which a claim has to be acquired before its handler runs: the record that reserves the
 * command's id, for which one result is recorded.
 */
export interface Claimant {
  readonly contract: string;
  readonly id: string;
  /** The payload before the schema parsed it. Its fingerprint detects reuse of the id for another payload. */
  readonly payload: unknown;
  /** How long the recorded result is kept, in ms. */
  readonly ttl: number;
  /** Deadline of the command's sender, by the monotonic clock. */
  readonly due: number;
  /**
   * Called at most once, with the attempt to get the claim (record that reserves the id). Has to abort the attempt when
   * the message is aborted; at once if the message was aborted before the call.
   */
  adopt(attempt: Deadlined): void;
  /**
   * Called if the claim (record that reserves the id) is lost before the result of `run` is recorded, at most once:
   * another attempt may run from now on.
   */
  lost(reason: CatgaError): void;
}

/** Claims (records that reserve message ids) for idempotent commands: one recorded result for each id. */
export interface Claims {
  /**
   * Acquires the claim of the command's id. If the id is new, calls `run` with the claim's revision (the fencing
   * token), and records its result. If the id has a result, or another attempt is running, resolves with the recorded
   * result. Resolves with `ID_REUSED` if the id was used for another payload. Never rejects.
   */
  guard(claimant: Claimant, run: ClaimedRun): Promise<Result<unknown>>;
  /**
   * Removes the failure recorded for an id, so that the command may be tried again. Rejects if the store does not
   * answer.
   */
  forgetFailure(contract: string, id: string): Promise<void>;
}

/** Finds out whether a process has died, for leases that it may hold; the cluster implements it. */
export interface Liveness {
  /**
   * Resolves with true if a process is certainly dead: pings to its endpoint have come back undelivered for longer than
   * a process needs to return after it lost its connection for up to 4 s. Resolves with false if that is not known, or
   * if the endpoint answers.
   */
  gone(endpoint: string): Promise<boolean>;
}

/** Locks and leaderships of a node, for its statistics. */
export interface Holdings {
  /** Names of the leaderships that the node holds. */
  readonly leads: readonly string[];
  /** Number of locks that the node holds. */
  readonly locks: number;
  /** Number of locks that the node gave up to end a deadlock. */
  readonly cycles: number;
}

/** The locks, claims (records that reserve ids of commands), cache and leaderships of one node. */
export interface SharedState {
  /** The locks and leaderships that the node holds; computed at each reading. */
  readonly holdings: Holdings;
  readonly locks: Locks;
  readonly claims: Claims;
  readonly cache: Cache;
  /** Runs `fn` whenever this node leads `name`: on one node of the cluster at a time. */
  lead(name: string, fn: (signal: AbortSignal) => MaybePromise<unknown>, options?: LeadOptions): Term;
  /** Gives up every leadership; other nodes take over at once. */
  abdicate(): Promise<void>;
  /** Releases the locks and claims (records that reserve ids of commands) that this node holds. */
  close(): Promise<void>;
}
