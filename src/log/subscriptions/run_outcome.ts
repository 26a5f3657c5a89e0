/** Outcome of a run, from the result of its request. Whether a failure is tried again: `after_failure.ts`. */
import type { Result } from "../../contract/result.ts";
import { isCatgaError } from "../../error.ts";
import { type FailedRun, readBatchAnswer, readRunAnswer, STILL_RUNNING } from "../format/run_request.ts";

/**
 * What became of an attempt: handled; refused by a node that knows a later leader; certainly not run, and, when the handler of an earlier
 * attempt goes on there, the id of that node; not run in a batch, and to be handed out alone; or failed.
 */
export type RunOutcome = "done" | "outvoted" | "not run" | "alone" | { readonly busy: string | undefined } | RunFailure;

/** A failed attempt. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  /** Error that the handler threw. */
  readonly cause?: string | undefined;
  /** It is not to be tried again. */
  readonly final: boolean;
  /** Time in ms up to which this outage of something that its handler called is no attempt. */
  readonly outage?: number | undefined;
  /** The id of the node where it may be running still. */
  readonly node: string | undefined;
}

/** Reads a result. What nodes answer is checked: an answer that is none is a failure. */
export function outcomeOf(result: Result<unknown>): RunOutcome {
  if (result.ok) {
    const answer = readRunAnswer(result.value);
    if (answer === 0) return "done";
    if (answer === 1) return "outvoted";
    if (answer !== undefined) return failureOf(answer);
    return {
      code: "INVALID_RESPONSE",
      message: "the node's answer is not that of a run",
      final: false,
      node: undefined,
    };
  }
  const { error: { code, message, node, details, final } } = result;
  if (NOT_RUN.has(code)) return details === STILL_RUNNING ? { busy: node } : "not run";
  const unknown = code === "OUTCOME_UNKNOWN" || code === "TIMEOUT";
  return { code, message, final: final || code === "TOO_LARGE", node: unknown ? node : undefined };
}

/** The outcome of each message of a batch, or that of all of them. */
export function outcomesOf(result: Result<unknown>, count: number): RunOutcome | readonly RunOutcome[] {
  const answers = result.ok ? readBatchAnswer(result.value, count) : undefined;
  if (answers === undefined) return outcomeOf(result);
  return answers.map((answer) =>
    answer === 0 ? "done" : answer === 2 ? "not run" : answer === 3 ? "alone" : failureOf(answer)
  );
}

function failureOf([code, message, final, cause, outage]: FailedRun): RunFailure {
  const why = typeof cause === "string" ? { cause } : {};
  return { code, message, ...why, ...(outage === undefined ? {} : { outage }), final: final === 1, node: undefined };
}

/** The outcome of a request that was not even sent, such as one with an invalid key. */
export function outcomeOfError(error: unknown): RunOutcome {
  if (isCatgaError(error)) return outcomeOf({ ok: false, error });
  return { code: "INVALID_MESSAGE", message: String(error), final: false, node: undefined };
}

/** Failures of messages that were certainly not run. */
const NOT_RUN: ReadonlySet<string> = new Set([
  "NO_HANDLER",
  "UNAVAILABLE",
  "OVERLOADED",
  "DRAINING",
  "DEADLOCK",
  "CLOSED",
]);
