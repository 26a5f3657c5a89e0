/**
 * The history of one run of `explore`: the operations of the workload and of handlers, with node, time and outcome.
 * Checks read it; `history_recorder.ts` writes it.
 */
import type { Result } from "../../mod.ts";
import type { RunInfo } from "../contract/flow.ts";

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

/** A part of the history that begins, and may end. */
export interface HistorySpan {
  /** Place of the beginning among all beginnings and ends of this history, from 0; each place is unique. */
  readonly began: number;
  /** Place of the end; `undefined`: not ended, because the node was killed or the run of the seed was over. */
  readonly ended: number | undefined;
  /** Time of the beginning, in ms of virtual time since the first operation could begin. */
  readonly start: number;
  /** Time of the end. */
  readonly end: number | undefined;
}

/** A call of an app, or of a handler's context. */
export interface HistoryOperation extends HistorySpan {
  /**
   * Number of the operation, from 0, in the order of the calls. Attempts of handlers refer to their operation by it.
   */
  readonly number: number;
  /** The method that was called, such as `send`, `publish`, `start`, `lock`, `load` or `cache.set`. */
  readonly method: string;
  /** Kind of the contract. */
  readonly kind: HistoryKind;
  /** Name of the contract, workflow, entity, lock or cache entry. */
  readonly contract: string;
  /** The key that the send has, or that the contract makes of the input; or the id of a run or entity. */
  readonly key: string | undefined;
  /** The message id, or the id of the run, if the caller gave one. */
  readonly id: string | undefined;
  /** The input, as the caller passed it. */
  readonly input: unknown;
  /** The options that the caller gave; `undefined`: none. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
  /** Node whose app was called. */
  readonly node: string;
  /** Step of the workload in which the operation was called; `undefined`: called outside of a step, or by a handler. */
  readonly step: string | undefined;
  /** Attempt of the handler, or step of a workflow, that called the operation; `undefined`: the workload called it. */
  readonly by: HandlerAttempt | WorkflowStep | undefined;
  /** Outcome of the operation; `undefined`: it has not ended. */
  readonly outcome: HistoryOutcome | undefined;
}

/** A run of a handler. Handlers of workflows have their {@link WorkflowStep}s instead. */
export interface HandlerAttempt extends HistorySpan {
  /** Distinguishes an attempt from a {@link WorkflowStep}. */
  readonly type: "attempt";
  /** Kind of the contract. */
  readonly kind: "command" | "query" | "event" | "stream";
  /** Name of the contract. */
  readonly contract: string;
  /** Name of the entity that the command belongs to; `undefined`: no entity. */
  readonly entity: string | undefined;
  /** Key of the message. */
  readonly key: string | undefined;
  /** The message id, the same in every attempt. */
  readonly id: string;
  /** Number of the attempt, from 1, as the handler sees it. */
  readonly attempt: number;
  /** The input as the handler got it; for a batch the array of the members' payloads. */
  readonly input: unknown;
  /** Members of the batch in a run of `onBatch`; `undefined` in other runs. */
  readonly batch: readonly HistoryMember[] | undefined;
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far: each process of a node has another number. */
  readonly process: number;
  /** Name of the subscription, if the contract is durable. */
  readonly subscription: string | undefined;
  /** Position in the log; `undefined` for a message that is not in the log. */
  readonly position: number | undefined;
  /** The fencing token that the handler got. */
  readonly fence: number | undefined;
  /** Operation that sent the message; `undefined`: unknown, or an entity emitted the message. */
  readonly operation: number | undefined;
  /** Outcome of the attempt; `undefined`: it has not ended. */
  readonly outcome: HistoryOutcome | undefined;
}

/** A member of a batch. */
export interface HistoryMember {
  /** The message id. */
  readonly id: string;
  /** The key; `undefined`: none. */
  readonly key: string | undefined;
  /** Position in the log. */
  readonly position: number;
  /** Number of the attempt, from 1. */
  readonly attempt: number;
  /** The payload. */
  readonly payload: unknown;
  /** Operation that sent the message; `undefined`: unknown. */
  readonly operation: number | undefined;
}

/** A run of the function of a workflow's step, or of its `undo`. */
export interface WorkflowStep extends HistorySpan {
  /** The function of the step, or its `undo`. */
  readonly type: "step" | "undo";
  /** Name of the workflow. */
  readonly workflow: string;
  /** The id of the run. */
  readonly run: string;
  /** Name of the step. */
  readonly name: string;
  /** Number of the attempt, from 1; 0 for an `undo`. */
  readonly attempt: number;
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far. */
  readonly process: number;
  /** Outcome of the step; `undefined`: it has not ended. */
  readonly outcome: HistoryOutcome | undefined;
}

/** A lock that was held, from its acquisition until its release, or until its signal was aborted. */
export interface LockHold extends HistorySpan {
  /** The keys, sorted. */
  readonly keys: readonly string[];
  /** The fencing token. */
  readonly token: number;
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far. */
  readonly process: number;
  /** Reason of the end: `release`, or the lock was lost; `undefined`: it has not ended, or its node was killed. */
  readonly endedBy: "release" | "loss" | undefined;
  /** Attempt or step that held the lock; `undefined`: the workload held it. */
  readonly by: HandlerAttempt | WorkflowStep | undefined;
}

/** A term of leadership: a call of the function that was given to `lead`. */
export interface HistoryTerm extends HistorySpan {
  /** Name of the lead. */
  readonly name: string;
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far. */
  readonly process: number;
}

/** A fault that `explore` caused, until it ended. */
export interface InjectedFault extends HistorySpan {
  /** Kind of the fault. */
  readonly fault: string;
  /** Node that the fault befell; `undefined`: the network, the store or the log. */
  readonly node: string | undefined;
  /** Further values, such as the ms of a skew, for the timeline. */
  readonly detail: string | undefined;
}

/** The process of a node, from its start until it was killed, or had drained. */
export interface NodeProcess extends HistorySpan {
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far. */
  readonly process: number;
  /** Number of the deploy whose handlers the process has, from 1; 0: the first handlers. */
  readonly deploy: number;
  /** How the process ended; `undefined`: it was running at the end. */
  readonly endedBy: "kill" | "drain" | undefined;
}

/** Record of one run of `explore`. Each list is in the order of the beginnings. */
export interface History {
  /** The seed. */
  readonly seed: number;
  /** Calls of apps and contexts. */
  readonly operations: readonly HistoryOperation[];
  /** Runs of handlers. */
  readonly attempts: readonly HandlerAttempt[];
  /** Runs of the functions of workflows' steps. */
  readonly steps: readonly WorkflowStep[];
  /** Locks that were held. */
  readonly locks: readonly LockHold[];
  /** Terms of leaders. */
  readonly terms: readonly HistoryTerm[];
  /** Faults. */
  readonly faults: readonly InjectedFault[];
  /** Processes of nodes. */
  readonly processes: readonly NodeProcess[];
  /** The runs of workflows with their states at the end, and with all that is recorded of each. */
  readonly runs: readonly RunInfo[];
  /** Dead letters that exist at the end. */
  readonly deadLetters: readonly HistoryLetter[];
}

/** A dead letter. */
export interface HistoryLetter {
  /** Name of the contract. */
  readonly contract: string;
  /** Name of the subscription. */
  readonly subscription: string;
  /** The message id. */
  readonly id: string;
  /** The key; `undefined`: none. */
  readonly key: string | undefined;
  /** Position in the log. */
  readonly position: number;
  /** Code of the error. */
  readonly code: string;
  /** Text of the error. */
  readonly message: string;
}

/**
 * The error that a check throws if a run has broken a promise. Other errors work as well; this error also names the
 * promise, and the places of the history that show the breach, which the timeline marks.
 */
export class BrokenPromise extends Error {
  /** Distinguishes this error from others. */
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

/** Returns the outcome of a result. */
export function outcomeOf(result: Result<unknown>): HistoryOutcome {
  if (result.ok) return { type: "ok", value: result.value };
  return { type: "failed", code: result.error.code, message: result.error.message };
}

/** Returns true if an operation with this outcome may have had its effect. */
export function mayHaveHappened(outcome: HistoryOutcome | undefined): boolean {
  if (outcome === undefined || outcome.type !== "failed") return true;
  return UNCERTAIN.has(outcome.code);
}

const UNCERTAIN: ReadonlySet<string> = new Set(["OUTCOME_UNKNOWN", "TIMEOUT", "CANCELLED", "HANDLER_FAILED"]);
