/** The envelope of a message, and the dependencies of a context on its app. */
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
  /** Name of this send, the same in all of its attempts, for a command of an entity with an id of its sender's. */
  readonly send?: string | undefined;
  /**
   * Time from the first send to the deadline, in ms, of a command of an entity that may have been decided before.
   */
  readonly span?: number | undefined;
  /**
   * An event that another node of the service refused: the handlers that run once in each service take it, and it goes
   * no further.
   */
  readonly passedOn?: true | undefined;
  /** It is the only attempt of its send, which made its id for this run: no other run has it, or ever will. */
  readonly only?: true;
  /** When it was sent first, as far as is known here, by the monotonic clock of this process; it was now. */
  readonly sentAt?: number | undefined;
  /** Streams only: where its items go. */
  readonly items?: ItemTarget | undefined;
  /** Time of storing of a message of the log, by the server's clock, in ms since 1970. */
  readonly storedAt?: number | undefined;
  /** Scheduled messages of the log only: the time that it was scheduled for, in ms since 1970. */
  readonly due?: number | undefined;
  /** Messages of the log only: where it stands. */
  readonly position?: number | undefined;
  /** Messages of the log only: the token of its leader. */
  readonly fence?: number | undefined;
  /**
   * Until when its sender waits, by the monotonic clock, if its own time begins with its turn: messages of the log.
   */
  senderWaits?(now: number): number | undefined;
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
    /** `turn` while it waits for its turn: aborted meanwhile, it certainly did not run. */
    stage: Stage;
    /** The value of `work`, user code for this message; the value of `onAbort` if the message is aborted first. */
    until<T>(work: Promise<T>, onAbort: (reason: CatgaError) => T): Promise<T>;
  };
  /** The time until its deadline, in ms; `now` by the monotonic clock. */
  remaining(now: number): number;
}

/** Gets how something ends, once: the ends of a promise, or what costs less. */
export interface Settling {
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

/**
 * Stage of a message on its way to its handler, which begins in the last one. A message that waits for
 * admission does so besides.
 *
 * | stage       | what runs                                    | when it is aborted                           |
 * | ----------- | -------------------------------------------- | -------------------------------------------- |
 * | `preparing` | an asynchronous schema, or a behavior        | it is dropped; its handler does not begin    |
 * | `claiming`  | acquiring the claim of an idempotent command | the claim handles that, and settles it       |
 * | `turn`      | a command waits for its turn at its entity   | it fails; its handler does not begin         |
 * | `handler`   | the handler, or nothing before it            | it fails; a command may have had its effect  |
 */
export type Stage = "preparing" | "claiming" | "turn" | "handler";

/** Dependencies of contexts on their app. */
export interface ContextHost extends RunSender {
  readonly node: string;
  /** Aborts while the node drains, when new messages go to other nodes. */
  readonly draining: AbortSignal;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  /** How many asynchronous handlers run, and how many sends wait for an answer: a drain waits for them. */
  readonly underWay: Pick<UnderWay, "begin" | "end">;
  /** Locks, claims and the cache. */
  readonly state: SharedState;
  readonly observer: Observer;
  /** Reports an error that no caller receives. */
  fault(during: string, error: unknown): void;
  /** A handler of this contract runs into its deadline: its message aborts with this error. */
  expired(contract: AnyContract, error: CatgaError): void;
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
  unschedule(contract: AnyContract | AnyWorkflow, id: string): Promise<boolean>;
  /** What reads and feeds streams, loaded when it is first needed. */
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
  /** Has a command of an entity decided, and stores what it emits. */
  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage, to: Settling): void;
}

/** Starts runs of workflows, and reaches them. */
export interface RunSender {
  /** Drives those that this node handles. Rejects with a `CatgaError`. */
  nodeRuns(): Promise<RunDriver>;
  /** `parent`: the message whose handler starts the run; its headers go on with the run. */
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

// What an app needs of its entities. `entities/` implements it, `catga.ts` wires it.

/** The entities of a namespace, as one node reads and changes them. */
export interface Entities {
  /**
   * Has a command decided: loads the entity, and stores what is emitted. Resolves `to` with what the handler returned,
   * or its failure; with the recorded result for a command that was stored already. Rejects it with a `CatgaError`, and
   * with what the handler throws.
   */
  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage, to: Settling): void;
  load<State>(definition: EntityDefinition<State>, id: string, options: LoadOptions): Promise<LoadedEntity<State>>;
  forget<State>(definition: EntityDefinition<State>, id: string): Promise<void>;
  /** Waits for snapshots that are being written. */
  close(): Promise<void>;
}

// What an app needs of the state that nodes share; `state/` implements it.

/** Requester of a lock: a run of a handler, or code outside of handlers. */
export interface Asker {
  /** Identifies this run among all runs. */
  readonly call: string;
  /** The runs that wait for this one to end, outermost first. */
  readonly ancestry: readonly string[];
}

/** The locks of a cluster. */
export interface Locks {
  /**
   * Takes a key, or several in sorted order: all or none. Rejects with a `CatgaError`: see {@link LockOptions},
   * `DEADLOCK`.
   */
  lock(keys: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock>;
  /** Releases the locks of this node; those that are waited for are rejected with `CLOSED`. */
  close(): Promise<void>;
}

/** A message whose id is to have one recorded result. */
export interface Claimant {
  readonly contract: string;
  readonly id: string;
  /** Before the schema, after the wire. Its fingerprint detects reuse of the id for another payload. */
  readonly payload: unknown;
  /** How long a result is kept, in ms. */
  readonly ttl: number;
  /** Deadline of the caller, by the monotonic clock. */
  readonly due: number;
  /** Has the attempt aborted when the message is, at once if it was; called at most once. */
  adopt(attempt: Deadlined): void;
  /** Called at most once, before the result of `run` is recorded: another attempt may run from now on. */
  lost(reason: CatgaError): void;
}

/** Idempotency: one recorded result for each id of a command. */
export interface Claims {
  /**
   * Runs `run` with the claim's revision (the fence) if the id is new, and records its result. Otherwise resolves with
   * the recorded result, waiting for it while another attempt runs; `ID_REUSED` for another payload. Never rejects.
   */
  guard(claimant: Claimant, run: ClaimedRun): Promise<Result<unknown>>;
  /** Removes a recorded failure, so that the id may be tried again. Rejects when the store does not answer. */
  forgetFailure(contract: string, id: string): Promise<void>;
  /** Ends waiting and renewing. */
  close(): Promise<void>;
}

/** Liveness of processes, for leases; the cluster implements it. */
export interface Liveness {
  /**
   * Resolves with true if pings to this endpoint have bounced for longer than a process needs to return that loses its
   * connection for up to 4 s. `false` if that is not known, or if the endpoint answers.
   */
  gone(endpoint: string): Promise<boolean>;
}

/** Locks and leaderships of a node, for its statistics. */
export interface Holdings {
  /** Names of its leaderships. */
  readonly leads: readonly string[];
  /** Locks that it holds. */
  readonly locks: number;
  /** Locks that it gave up because waiting for them would never have ended. */
  readonly cycles: number;
}

/** The locks, claims, cache and leadership of one node. */
export interface SharedState {
  /** Counted when it is read. */
  readonly holdings: Holdings;
  readonly locks: Locks;
  readonly claims: Claims;
  readonly cache: Cache;
  /** Runs `fn` whenever this node leads `name`. */
  lead(name: string, fn: (signal: AbortSignal) => MaybePromise<unknown>, options?: LeadOptions): Term;
  /** Gives up every leadership; others take over at once. */
  abdicate(): Promise<void>;
  /** Releases what this node holds. */
  close(): Promise<void>;
}
