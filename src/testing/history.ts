/**
 * The history of one run of `explore`: the operations of the workload and of handlers, with node, time and outcome.
 * Checks read it; `history_recorder.ts` writes it.
 */
import type { Result } from "../../mod.ts";
import type { RunInfo } from "../contract/calls/flow.ts";
import type { EndedTransaction } from "../contract/nodes/attached_store.ts";

/** Kind of the contract of an operation, or of a handler's attempt. */
export type HistoryKind =
  | "command"
  | "query"
  | "event"
  | "stream"
  | "workflow"
  | "signal"
  | "entity"
  | "lock"
  | "cache";

/**
 * Outcome of an operation or an attempt. `failed`: a `Result` with an error, or a thrown `CatgaError`; `thrown`:
 * another error. An operation that failed with `OUTCOME_UNKNOWN` or `TIMEOUT`, or that has no outcome, may have had its
 * effect.
 */
export type HistoryOutcome =
  | { readonly type: "ok"; readonly value: unknown }
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  | { readonly type: "thrown"; readonly message: string; readonly error: unknown };

/** An entry of the history that has a beginning, and may have an end. */
export interface HistorySpan {
  /** Place of the entry's beginning among all beginnings and ends in the history, from 0. Each place occurs once. */
  readonly began: number;
  /**
   * Place of the entry's end among all events of the history; `undefined`: it has not ended, because its node was
   * killed or the run of the seed was over.
   */
  readonly ended: number | undefined;
  /** Time of the entry's beginning, in ms of virtual time since the first operation could begin. */
  readonly start: number;
  /**
   * Time of the entry's end, in ms of virtual time since the first operation could begin; `undefined`: it has not
   * ended.
   */
  readonly end: number | undefined;
}

/** A call of a method of an app, or of a handler's context. */
export interface HistoryOperation extends HistorySpan {
  /** Number of the operation, from 0, in the order of the calls. Attempts of handlers name their operation by it. */
  readonly number: number;
  /** The method that was called, such as `send`, `publish`, `start`, `lock`, `load` or `cache.set`. */
  readonly method: string;
  /** Kind of the contract to which the call belongs. */
  readonly kind: HistoryKind;
  /** Name of the contract, workflow, entity, lock or cache entry to which the call belongs. */
  readonly contract: string;
  /**
   * Key of the message: given by the caller, or made of the input by the contract; for a workflow or an entity, the
   * id of the run or entity.
   */
  readonly key: string | undefined;
  /** Id of the message or workflow run, if the caller has given one. */
  readonly id: string | undefined;
  /** Input of the call, as the caller passed it. */
  readonly input: unknown;
  /** Options that the caller passed; `undefined`: none. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
  /** Id of the node whose app was called. */
  readonly node: string;
  /** Step of the workload in which the operation was called; `undefined`: called outside of a step, or by a handler. */
  readonly step: string | undefined;
  /** Attempt of a handler, or step of a workflow, that made the call; `undefined`: the workload made it. */
  readonly by: HandlerAttempt | WorkflowStep | undefined;
  /** Outcome of the operation; `undefined`: it has not ended. */
  readonly outcome: HistoryOutcome | undefined;
}

/** One run of a handler. (Handlers of workflows have {@link WorkflowStep}s instead.) */
export interface HandlerAttempt extends HistorySpan {
  /** Distinguishes an attempt from a {@link WorkflowStep}, which has another `type`. */
  readonly type: "attempt";
  /** Kind of the handled message's contract. */
  readonly kind: "command" | "query" | "event" | "stream";
  /** Name of the handled message's contract. */
  readonly contract: string;
  /** Name of the entity to which the command belongs; `undefined`: it belongs to none. */
  readonly entity: string | undefined;
  /** Key of the handled message; `undefined`: none. */
  readonly key: string | undefined;
  /** Id of the handled message, the same in every attempt. */
  readonly id: string;
  /** Number of the attempt, from 1, as the handler sees it. */
  readonly attempt: number;
  /** Input as the handler got it; for a batch, the array of its members' payloads. */
  readonly input: unknown;
  /** Members of the batch, in a run of `onBatch`; `undefined` in other runs. */
  readonly batch: readonly HistoryMember[] | undefined;
  /** Id of the node on which the handler ran. */
  readonly node: string;
  /** Number of the node's process, from 1: how often the node has been started. */
  readonly process: number;
  /** Name of the subscription for which the handler ran, if the contract is durable. */
  readonly subscription: string | undefined;
  /** Slots of limits that the run's messages have; `undefined`: it has none, or its message is not in the log. */
  readonly slots?: readonly LimitSlot[] | undefined;
  /** Position of the message in the log; `undefined` for a message that is not in the log. */
  readonly position: number | undefined;
  /** Fencing token that the handler got. */
  readonly fence: number | undefined;
  /** Number of the operation that sent the message; `undefined`: unknown, or an entity emitted the message. */
  readonly operation: number | undefined;
  /** Outcome of the attempt; `undefined`: it has not ended. */
  readonly outcome: HistoryOutcome | undefined;
}

/** A slot of a limit with `running`, which a message has while its handler runs. */
export interface LimitSlot {
  /** Name of the limit; of one without a name its contract and place among the limits of the handler, as `Paid/0`. */
  readonly limit: string;
  /** Key of the message in the limit; `undefined`: the limit is one for all messages. */
  readonly key: string | undefined;
  /** Maximum number of messages that run at once, in the version of the program that the node has. */
  readonly running: number;
  /** Position of the message in the log. */
  readonly position: number;
}

/** A message in a batch that a handler got. */
export interface HistoryMember {
  /** Id of the message. */
  readonly id: string;
  /** Key of the message; `undefined`: none. */
  readonly key: string | undefined;
  /** Position of the message in the log. */
  readonly position: number;
  /** Number of the attempt to handle the message, from 1. */
  readonly attempt: number;
  /** Payload of the message. */
  readonly payload: unknown;
  /** Number of the operation that sent the message; `undefined`: unknown. */
  readonly operation: number | undefined;
}

/** One run of the function of a workflow's step, or of the step's `undo`. */
export interface WorkflowStep extends HistorySpan {
  /** `step`: the function of the step ran; `undo`: its `undo` ran. */
  readonly type: "step" | "undo";
  /** Name of the workflow. */
  readonly workflow: string;
  /** Id of the workflow run. */
  readonly run: string;
  /** Name of the step. */
  readonly name: string;
  /** Number of the attempt, from 1; 0 for an `undo`. */
  readonly attempt: number;
  /** Id of the node on which the step ran. */
  readonly node: string;
  /** Number of the node's process, from 1: how often the node has been started. */
  readonly process: number;
  /** Outcome of the step; `undefined`: it has not ended. */
  readonly outcome: HistoryOutcome | undefined;
}

/** A lock that was held, from its acquisition until its release, or until its signal was aborted. */
export interface LockHold extends HistorySpan {
  /** Keys of the lock, sorted. */
  readonly keys: readonly string[];
  /** Fencing token of the lock. */
  readonly token: number;
  /** Id of the node that held the lock. */
  readonly node: string;
  /** Number of the node's process, from 1: how often the node has been started. */
  readonly process: number;
  /**
   * How the hold ended: by a release, or by the loss of the lock; `undefined`: it has not ended, or its node was
   * killed.
   */
  readonly endedBy: "release" | "loss" | undefined;
  /** Attempt of a handler, or step of a workflow, that held the lock; `undefined`: the workload held it. */
  readonly by: HandlerAttempt | WorkflowStep | undefined;
}

/** A term of leadership: a call of the function that was given to `lead`. */
export interface HistoryTerm extends HistorySpan {
  /** Name of the leadership. */
  readonly name: string;
  /** Id of the node that led. */
  readonly node: string;
  /** Number of the node's process, from 1: how often the node has been started. */
  readonly process: number;
}

/** A fault that `explore` caused; it lasts from the entry's beginning to its end. */
export interface InjectedFault extends HistorySpan {
  /** Kind of the fault. */
  readonly fault: string;
  /** Id of the node that the fault affected; `undefined`: it affected the network, the store or the log. */
  readonly node: string | undefined;
  /** Further values of the fault for the timeline, such as the ms of a skew; `undefined`: none. */
  readonly detail: string | undefined;
}

/** The process of a node, from its start until it was killed, or had drained. */
export interface NodeProcess extends HistorySpan {
  /** Id of the node whose process it is. */
  readonly node: string;
  /** Number of the node's process, from 1: how often the node has been started. */
  readonly process: number;
  /** Number of the deploy whose handlers the process has, from 1; 0: the first handlers. */
  readonly deploy: number;
  /** How the process ended; `undefined`: it was running at the end. */
  readonly endedBy: "kill" | "drain" | undefined;
}

/** The history of one run of `explore`. Each list is in the order in which its entries began. */
export interface History {
  /** The seed of the run. */
  readonly seed: number;
  /** Calls of methods of apps, and of handlers' contexts. */
  readonly operations: readonly HistoryOperation[];
  /** Runs of handlers. */
  readonly attempts: readonly HandlerAttempt[];
  /** Runs of the functions of workflows' steps. */
  readonly steps: readonly WorkflowStep[];
  /** Transactions of the stores that the option `sql` has made, in the order of their ends. */
  readonly transactions: readonly StoreTransaction[];
  /** Times for which locks were held. */
  readonly locks: readonly LockHold[];
  /** Terms of leadership: calls of functions given to `lead`. */
  readonly terms: readonly HistoryTerm[];
  /** Faults that `explore` has caused. */
  readonly faults: readonly InjectedFault[];
  /** Processes of the nodes, killed and drained ones included. */
  readonly processes: readonly NodeProcess[];
  /** Workflow runs with their state at the end of the run, and with everything that is recorded of each. */
  readonly runs: readonly RunInfo[];
  /** Dead letters that exist at the end. */
  readonly deadLetters: readonly HistoryLetter[];
}

/** A transaction of a store (`sqlStore`) that has ended. */
export interface StoreTransaction extends HistorySpan, EndedTransaction {
  /** Name of the store. */
  readonly store: string;
}

/** A dead letter: a stored message whose attempts are used up. */
export interface HistoryLetter {
  /** Name of the message's contract. */
  readonly contract: string;
  /** Name of the subscription that could not handle the message. */
  readonly subscription: string;
  /** Id of the message. */
  readonly id: string;
  /** Key of the message; `undefined`: none. */
  readonly key: string | undefined;
  /** Position of the message in the log. */
  readonly position: number;
  /** Code of the error of the last attempt. */
  readonly code: string;
  /** Text of the error of the last attempt. */
  readonly message: string;
}

/**
 * The error that a check throws if a run has broken a promise. (A check may throw any error; this one also names the
 * promise, and the places of the history that show the breach, which the timeline marks.)
 *
 * @example
 * ```ts
 * import { BrokenPromise, type History } from "@catga/catga/testing";
 *
 * // a check for `explore`
 * export function check({ history }: { history: History }) {
 *   const late = history.operations.filter(({ start, end = Infinity }) => end - start > 5_000);
 *   if (late.length > 0) throw new BrokenPromise("a send takes 5 s at most", `${late.length} are late`, late);
 * }
 * ```
 */
export class BrokenPromise extends Error {
  /** Name by which programs tell this error from other errors. */
  override readonly name = "BrokenPromise";
  /** The promise, as the documentation states it. */
  readonly promise: string;
  /** The entries of the history that show the breach. */
  readonly shownBy: readonly HistorySpan[];

  /** Creates the error of a broken promise. */
  constructor(promise: string, message: string, shownBy: readonly HistorySpan[] = []) {
    super(message);
    this.promise = promise;
    this.shownBy = shownBy;
  }
}

/** Returns the outcome in a history for a result. */
export function outcomeOf(result: Result<unknown>): HistoryOutcome {
  if (result.ok) return { type: "ok", value: result.value };
  return { type: "failed", code: result.error.code, message: result.error.message };
}

/**
 * Returns true if an operation with this outcome may have had its effect.
 *
 * @example
 * ```ts
 * import { mayHaveHappened } from "@catga/catga/testing";
 *
 * console.log(mayHaveHappened({ type: "failed", code: "OUTCOME_UNKNOWN", message: "" })); // true
 * console.log(mayHaveHappened({ type: "failed", code: "NO_HANDLER", message: "" })); // false
 * ```
 */
export function mayHaveHappened(outcome: HistoryOutcome | undefined): boolean {
  if (outcome === undefined || outcome.type !== "failed") return true;
  return UNCERTAIN.has(outcome.code);
}

const UNCERTAIN: ReadonlySet<string> = new Set(["OUTCOME_UNKNOWN", "TIMEOUT", "CANCELLED", "HANDLER_FAILED"]);
