/** How a node answers a leader what became of a message. */
import type { Result } from "../../contract/result.ts";
import { ALONE, AWAITS_VERSION } from "../../contract/send_options.ts";
import { causeText } from "../../data/cause_text.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { type Outcome, Refusal, SchemaRefusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import { type FailedRun, MAX_ANSWER_CODE, MAX_ANSWER_MESSAGE, type RunAnswer } from "../format/run_request.ts";
import { refusedOver } from "./category_handlers.ts";

/** The message was handled. */
export const DONE: Result<RunAnswer> = Object.freeze({ ok: true, value: 0 });
/** The message was not run: the node knows of a later leader. */
export const DEPOSED: Result<RunAnswer> = Object.freeze({ ok: true, value: 1 });

/**
 * The outcome of the internal command that ran a handler. A handler's failure is an answer, which counts as an attempt;
 * a refusal, and a failure to begin, stay what they are. `causes`: whether the leader gets what the handler threw;
 * `outage`: for how long what the handler calls may be out of reach, in ms.
 */
export function answerTo(given: Outcome, ctx: MessageContext, causes: boolean, outage: number): Outcome {
  const outcome = refusedOver(given, ctx);
  if (outcome instanceof Refusal) return outcome;
  if (outcome.ok) return DONE;
  // the claim of an idempotent command was not acquired: its handler has not run, and has no recorded result
  if (ctx.contract.options.idempotent && ctx.execution.stage === "claiming" && WAITED.has(outcome.error.code)) {
    return outcome;
  }
  const { error } = outcome;
  if (outcome instanceof SchemaRefusal && !outcome.ofStored) {
    return { ok: true, value: refusedAnswer(error, causes, outage) };
  }
  if (error.details === ALONE) return new Refusal("DRAINING", ctx);
  if (error.details === AWAITS_VERSION) return { ok: true, value: refusedAnswer(error, causes, outage, 3) };
  const answer = failureAnswer(error, causes);
  if (outage === 0 || error.final || ctx.execution.passedOn !== error) return { ok: true, value: answer };
  const [code, message, final, cause = null] = answer;
  return { ok: true, value: [code, message, final, cause, Math.ceil(outage)] satisfies RunAnswer };
}

/**
 * An outcome of a message's last attempt: a failure is final, unless it may be no attempt, also for a leader of another
 * version, which does not know the handler's settings.
 */
export function lastAnswer(outcome: Outcome): Outcome {
  if (outcome instanceof Refusal) return outcome;
  if (!outcome.ok) {
    const { code, message, node, cause } = outcome.error;
    return code === "TIMEOUT"
      ? { ok: false, error: new CatgaError(code, message, { node, cause, final: true }) }
      : outcome;
  }
  // `answerTo` made it
  const value = outcome.value as RunAnswer;
  return typeof value === "number" || value[4] !== undefined || value[2] >= 2
    ? outcome
    : { ok: true, value: [value[0], value[1], 1, ...value.slice(3)] };
}

/**
 * A handler's failure as an answer, which can be sent whatever the error holds; with `causes` its cause, or else its
 * own stack.
 */
export function failureAnswer(error: CatgaError, causes: boolean): FailedRun {
  const { code, message, final } = error;
  const text = cut(message, MAX_ANSWER_MESSAGE);
  const answer = [cut(code, MAX_ANSWER_CODE) || "HANDLER_FAILED", text, final ? 1 : 0] as const;
  const cause = causes ? causeText(error.cause ?? error) : undefined;
  return cause === undefined ? answer : [...answer, cause];
}

/** The answer for a message that the input schema refused, with how long it may wait for a node that takes it. */
export function refusedAnswer(error: CatgaError, causes: boolean, outage: number, how: 2 | 3 = 2): FailedRun {
  const [code, message, , ...cause] = failureAnswer(error, causes);
  return outage === 0 ? [code, message, how, ...cause] : [code, message, how, cause[0] ?? null, Math.ceil(outage)];
}

/** A text that is well-formed, and not too long: one that is ends with "…". */
function cut(text: string, most: number): string {
  return (text.length > most ? `${text.slice(0, most - 1)}…` : text).toWellFormed();
}

/** With these codes the wait for another's claim fails. */
const WAITED: ReadonlySet<string> = new Set(["UNAVAILABLE", "TIMEOUT", "OUTCOME_UNKNOWN", "CANCELLED", "CLOSED"]);
