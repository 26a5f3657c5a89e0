/**
 * One attempt of a step that asks another run a question (`flow.ask`). The question has the step's id, so the other run
 * is asked once, however often the step is attempted.
 */
import type { AnyQuestion } from "../../contract/calls/flow.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { decided, TransientError } from "../stored/recorded_error.ts";
import { copyOf } from "../stored/recorded_value.ts";
import type { DriveState } from "./drive_state.ts";
import type { AttemptWork } from "./step_attempt.ts";

/**
 * Returns the work of an attempt, which asks once, and waits `timeout` ms. It resolves with the answer, or with a
 * failure that another attempt would get, too; it rejects with {@link TransientError} if another attempt may help.
 */
export function asking(
  { host }: DriveState,
  question: AnyQuestion,
  { run, payload, timeout }: { readonly run: string; readonly payload: unknown; readonly timeout: number },
): AttemptWork {
  return async ({ id }): Promise<RecordedOutcome> => {
    const { log } = host;
    const result = await host.ask(question, run, payload, { id, timeout });
    if (result.ok) return { ok: true, value: copyOf(result.value, `the answer to ${question.name}`, log.mostBytes) };
    const { error } = result;
    if (error.code === "CLOSED") throw error;
    if (AGAIN.has(error.code)) throw new TransientError(error);
    return { ok: false, error: decided(error, question.name, log.mostBytes) };
  };
}

/** Codes of errors after which the same question may get its answer. */
const AGAIN: ReadonlySet<string> = new Set(["NOT_ENDED", "UNAVAILABLE", "OUTCOME_UNKNOWN", "TIMEOUT", "OVERLOADED"]);
