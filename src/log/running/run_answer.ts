/** Makes the answers of a node to the leader of a subscription: how the run of a message ended. */
import type { Result } from "../../contract/calls/result.ts";
import { ALONE, AWAITS_VERSION } from "../../contract/nodes/announcement.ts";
import { isRecord } from "../../data/checks.ts";
import { causeText } from "../../data/cause_text.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { type Outcome, Refusal, VersionRefusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import {
  type FailedRun,
  isRetryAfter,
  MAX_ANSWER_CODE,
  MAX_ANSWER_MESSAGE,
  type RefusedMessage,
  type RunAnswer,
} from "../format/run_request.ts";

/** Answer to a leader: the message was handled. */
export const DONE: Result<RunAnswer> = Object.freeze({ ok: true, value: 0 });
/** Answer to a leader: the message was not handled, because a leader has had its run aborted. */
export const REPLACED: Result<RunAnswer> = Object.freeze({ ok: true, value: 4 });
/** Answer to a leader: the message was not run, because the node obeys a later leader. */
export const DEPOSED: Result<RunAnswer> = Object.freeze({ ok: true, value: 1 });

/**
 * Turns the outcome of a handler into the outcome of the internal command with which the leader asked for the run. A
 * handler's failure becomes an answer ({@link FailedRun}), which counts as an attempt; a {@link Refusal}, or a failure
 * to acquire an idempotent command's claim, stays as it is, and does not count. `causes`: true if the leader gets the
 * thrown error. `outage`: time for which a service that the handler calls may be unavailable, in ms.
 */
export function answerTo(given: Outcome, ctx: MessageContext, causes: boolean, outage: number): Outcome {
  const outcome = refusedOver(given, ctx);
  if (outcome instanceof Refusal) return outcome;
  if (outcome.ok) return DONE;
  // the claim of an idempotent command was not acquired, so its handler did not run: this does not count as an
  // attempt
  if (ctx.contract.options.idempotent && ctx.execution.stage === "claiming" && WAITED.has(outcome.error.code)) {
    return outcome;
  }
  const { error } = outcome;
  if (outcome instanceof VersionRefusal && !outcome.ofStored) {
    return { ok: true, value: refusedAnswer(error, causes, outage) };
  }
  if (error.details === ALONE) return new Refusal("DRAINING", ctx);
  if (error.details === AWAITS_VERSION) return { ok: true, value: awaitsWriterAnswer(error, causes, outage) };
  const answer = failureAnswer(error, causes);
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== undefined && outage > 0 && !error.final) {
    return { ok: true, value: [answer[0], answer[1], 0, answer[3] ?? null, Math.ceil(outage), retryAfter] };
  }
  if (outage === 0 || error.final || ctx.execution.passedOn !== error) return { ok: true, value: answer };
  const [code, message, final, cause = null] = answer;
  return { ok: true, value: [code, message, final, cause, Math.ceil(outage)] satisfies RunAnswer };
}

/** Time in ms that a handler's failure `RATE_LIMITED` names, after which it is to run again; `undefined`: none. */
function retryAfterOf({ code, details }: CatgaError): number | undefined {
  if (code !== "RATE_LIMITED" || !isRecord(details) || typeof details.retryAfter !== "number") return undefined;
  const ms = Math.ceil(details.retryAfter);
  return isRetryAfter(ms) ? ms : undefined;
}

/**
 * Returns the outcome of a run, or a refusal if a rate limit refused the message before its handler began, because
 * that does not count as an attempt.
 */
export function refusedOver(outcome: Outcome, ctx: MessageContext): Outcome {
  if (outcome instanceof Refusal || outcome.ok || outcome.error.code !== "RATE_LIMITED") return outcome;
  return ctx.execution.stage === "preparing" ? new Refusal("OVERLOADED", ctx) : outcome;
}

/**
 * Marks the failure of a message's last attempt as final, so that leaders of other versions, which do not know the
 * handler's settings, do not retry. A failure that may not count as an attempt stays as it is.
 */
export function lastAnswer(outcome: Outcome): Outcome {
  if (outcome instanceof Refusal) return outcome;
  if (!outcome.ok) {
    const { code, message, node, cause } = outcome.error;
    return code === "TIMEOUT"
      ? { ok: false, error: new CatgaError(code, message, { node, cause, final: true }) }
      : outcome;
  }
  // `answerTo` has made this value
  const value = outcome.value as RunAnswer;
  return typeof value === "number" || value[4] !== undefined || value[2] === 3
    ? outcome
    : { ok: true, value: [value[0], value[1], 1, ...value.slice(3)] };
}

/**
 * Encodes a handler's failure as an answer, which can be sent whatever the error contains. `causes`: true to include
 * the error's cause, or else its stack.
 */
export function failureAnswer(error: CatgaError, causes: boolean): FailedRun {
  const { code, message, final } = error;
  const text = cut(message, MAX_ANSWER_MESSAGE);
  const answer = [cut(code, MAX_ANSWER_CODE) || "HANDLER_FAILED", text, final ? 1 : 0] as const;
  const cause = causes ? causeText(error.cause ?? error) : undefined;
  return cause === undefined ? answer : [...answer, cause];
}

/**
 * Encodes the answer for a message that the input schema refused before a handler began ({@link RefusedMessage}).
 * `causes`: true to include the error's cause. `outage`: time for which the message may wait for a node that accepts
 * it, in ms.
 */
export function refusedAnswer(error: CatgaError, causes: boolean, outage: number): FailedRun {
  const [code, message, , cause = null] = failureAnswer(error, causes);
  return [code, message, 1, cause, Math.ceil(outage) + 1] satisfies RefusedMessage;
}

/** Encodes the answer for a run that no live version of its workflow accepts. Parameters: {@link refusedAnswer}. */
function awaitsWriterAnswer(error: CatgaError, causes: boolean, outage: number): FailedRun {
  const [code, message, , ...cause] = failureAnswer(error, causes);
  return outage === 0 ? [code, message, 3, ...cause] : [code, message, 3, cause[0] ?? null, Math.ceil(outage)];
}

/** Makes a text well-formed and cuts it to `most` characters; a cut text ends with "…". */
function cut(text: string, most: number): string {
  return (text.length > most ? `${text.slice(0, most - 1)}…` : text).toWellFormed();
}

/** Codes of errors with which a run fails if it has waited in vain for the idempotency claim that another run holds. */
const WAITED: ReadonlySet<string> = new Set(["UNAVAILABLE", "TIMEOUT", "OUTCOME_UNKNOWN", "CANCELLED", "CLOSED"]);
