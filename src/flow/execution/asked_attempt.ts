/**
 * One attempt of a step that asks another run a question (`flow.ask`). The question has the step's id, so the other run
 * is asked once, however often the step is attempted.
 */
import type { AnyQuestion } from "../../contract/calls/flow.ts";
import { isAnswer } from "../../contract/calls/given_answers.ts";
import { CatgaError } from "../../error.ts";
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
  state: DriveState,
  question: AnyQuestion,
  { run, payload, timeout }: { readonly run: string; readonly payload: unknown; readonly timeout: number },
): AttemptWork {
  return async ({ id, signal: aborts }): Promise<RecordedOutcome> => {
    const { host, host: { log, clock } } = state;
    const leaves = new AbortController();
    let timer = clock.after(LOOK, look, { background: true });
    function look() {
      if (state.leaving) leaves.abort();
      else timer = clock.after(LOOK, look, { background: true });
    }
    const signal = AbortSignal.any([aborts, leaves.signal]);
    const result = await host.ask(question, run, payload, { id, timeout, signal }).finally(() => timer.cancel());
    if (result.ok) return { ok: true, value: copyOf(result.value, `the answer to ${question.name}`, log.mostBytes) };
    const { error } = result;
    // a node that stops does not wait for an answer: another one asks again, under the same id
    if (leaves.signal.aborted) throw new CatgaError("CLOSED", `${state.label} goes on elsewhere`);
    if (!isAnswer(error)) {
      if (error.code === "CLOSED") throw error;
      if (AGAIN.has(error.code)) throw new TransientError(error);
    }
    // the run answers once: another attempt would get the same answer, also one that says "retryable"
    const { retryable: _, ...final } = decided(error, question.name, log.mostBytes);
    return { ok: false, error: final };
  };
}

/** Time between two looks whether the node stops, in ms. */
const LOOK = 500;
/** Codes of errors after which the same question may get its answer. */
const AGAIN: ReadonlySet<string> = new Set(["NOT_ENDED", "UNAVAILABLE", "OUTCOME_UNKNOWN", "TIMEOUT", "OVERLOADED"]);
