/**
 * The history of one run of `explore`: what the workload and handlers did, on which node, when, and what came of it.
 * Checks read it; `history_recorder.ts` writes it.
 */
import type { Result } from "../../mod.ts";
import type { RunInfo } from "../contract/flow.ts";

/** Kind of contract that an operation, or an attempt of a handler, is of. */
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
 * another error. A failure with `OUTCOME_UNKNOWN` or `TIMEOUT` may have had its effect, and so may whatever has no
 * outcome.
 */
export type HistoryOutcome =
  | { readonly type: "ok"; readonly value: unknown }
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  | { readonly type: "thrown"; readonly message: string; readonly error: unknown };

/** Something that begins, and may end. */
export interface HistorySpan {
  /** Place of its beginning among all beginnings and ends of this history, from 0: no two are at one place. */
  readonly began: number;
  /** Place of its end; `undefined`: it has not ended, because its node was killed or the run of the seed was over. */
  readonly ended: number | undefined;
  /** Time of its beginning, in ms of virtual time since the first operation could begin. */
  readonly start: number;
  /** Time of its end. */
  readonly end: number | undefined;
}

/** A call of an app, or of a handler's context. */
export interface HistoryOperation extends HistorySpan {
  /** Number of the operation, from 0, in the order of the calls. Attempts of handlers that it caused name it. */
  readonly number: number;
  /** The method that was called, such as `send`, `publish`, `start`, `lock`, `load` or `cache.set`. */
  readonly method: string;
  /** Kind of the contract. */
  readonly kind: HistoryKind;
  /** Name of the contract, workflow, entity, lock or cache entry. */
  readonly contract: string;
  /** The key: that of the send, or what the contract makes of the input; the id of a run or of an entity. */
  readonly key: string | undefined;
  /** The message id, or the id of the run, if the caller gave one. */
  readonly id: string | undefined;
  /** The input, as the caller passed it. */
  readonly input: unknown;
  /** The options that the caller gave; `undefined`: none. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
  /** Node whose app was called. */
  readonly node: string;
  /** The step of the workload in which it was called; `undefined`: outside of one, or by a handler. */
  readonly step: string | undefined;
  /** The attempt whose handler called it, or the step of a workflow; `undefined`: the workload. */
  readonly by: HandlerAttempt | WorkflowStep | undefined;
  /** Its outcome; `undefined`: it has not ended. */
  readonly outcome: HistoryOutcome | undefined;
}

/** A run of a handler. Handlers of workflows have their {@link WorkflowStep}s instead. */
export interface HandlerAttempt extends HistorySpan {
  /** Tells it from a {@link WorkflowStep}. */
  readonly type: "attempt";
  /** Kind of the contract. */
  readonly kind: "command" | "query" | "event" | "stream";
  /** Name of the contract. */
  readonly contract: string;
  /** Name of the entity whose command it is; `undefined`: of none. */
  readonly entity: string | undefined;
  /** Key of the message. */
  readonly key: string | undefined;
  /** The message id, the same in every attempt. */
  readonly id: string;
  /** Number of the attempt, from 1, as the handler sees it. */
  readonly attempt: number;
  /** The input as the handler got it; of a batch the array of its members' payloads. */
  readonly input: unknown;
  /** The members of a run of `onBatch`; `undefined` for others. */
  readonly batch: readonly HistoryMember[] | undefined;
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far: another process has another number. */
  readonly process: number;
  /** Name of the subscription, if the contract is durable. */
  readonly subscription: string | undefined;
  /** Position in the log, if the message is of the log. */
  readonly position: number | undefined;
  /** The fencing token that the handler got. */
  readonly fence: number | undefined;
  /** The operation that sent the message; `undefined`: an entity emitted it, or it is not known. */
  readonly operation: number | undefined;
  /** Its outcome; `undefined`: it has not ended. */
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
  /** The operation that sent the message, if it is known. */
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
  /** Number of the attempt, from 1; of an `undo` 0. */
  readonly attempt: number;
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far. */
  readonly process: number;
  /** Its outcome; `undefined`: it has not ended. */
  readonly outcome: HistoryOutcome | undefined;
}

/** A lock that was held: from its acquisition until its release, or until its signal was aborted. */
export interface LockHold extends HistorySpan {
  /** The keys, sorted. */
  readonly keys: readonly string[];
  /** The fencing token. */
  readonly token: number;
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far. */
  readonly process: number;
  /** How it ended: by `release`, or because it was lost; `undefined`: not yet, or its node was killed. */
  readonly endedBy: "release" | "loss" | undefined;
  /** The attempt or step that held it; `undefined`: the workload. */
  readonly by: HandlerAttempt | WorkflowStep | undefined;
}

/** A term of leadership: a call of the function that was given to `lead`. */
export interface HistoryTerm extends HistorySpan {
  /** Its name. */
  readonly name: string;
  /** Id of the node. */
  readonly node: string;
  /** Number of starts of the node so far. */
  readonly process: number;
}

/** A fault that `explore` caused, until it ended it. */
export interface InjectedFault extends HistorySpan {
  /** Kind of the fault. */
  readonly fault: string;
  /** Node that it befell; `undefined`: the network, the store or the log. */
  readonly node: string | undefined;
  /** Further values, such as the ms of a skew, for the timeline. */
  readonly detail: string | undefined;
}

/** The process of a node: from its start until it was killed, or has drained. */
export interface NodeProcess extends HistorySpan {
  /** Id of the node. */
  readonly node: string;
  /** Number of its starts so far. */
  readonly process: number;
  /** The deploy whose handlers it has, from 1; 0: the first handlers. */
  readonly deploy: number;
  /** How it ended; `undefined`: it was there at the end. */
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
  /** The runs of workflows as they are at the end, with all that is recorded of each. */
  readonly runs: readonly RunInfo[];
  /** Messages that became dead letters, and are at the end. */
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
 * A promise that a run has broken: a check throws it. Other errors do as well; this one names the promise, and the
 * places of the history that show it, which the timeline marks.
 */
export class BrokenPromise extends Error {
  /** Tells it from other errors. */
  override readonly name = "BrokenPromise";
  /** The promise, as the documentation states it. */
  readonly promise: string;
  /** The entries of the history that show that it is broken. */
  readonly shownBy: readonly HistorySpan[];

  /** Creates the error of a promise that is broken. */
  constructor(promise: string, message: string, shownBy: readonly HistorySpan[] = []) {
    super(message);
    this.promise = promise;
    this.shownBy = shownBy;
  }
}

/** The outcome of a result. */
export function outcomeOf(result: Result<unknown>): HistoryOutcome {
  if (result.ok) return { type: "ok", value: result.value };
  return { type: "failed", code: result.error.code, message: result.error.message };
}

/** Returns true if what has this outcome may have had its effect. */
export function mayHaveHappened(outcome: HistoryOutcome | undefined): boolean {
  if (outcome === undefined || outcome.type !== "failed") return true;
  return UNCERTAIN.has(outcome.code);
}

const UNCERTAIN: ReadonlySet<string> = new Set(["OUTCOME_UNKNOWN", "TIMEOUT", "CANCELLED", "HANDLER_FAILED"]);
