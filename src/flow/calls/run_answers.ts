/** Makes the answers to a program's calls about runs (`start`, `result`, `tell`, `cancel`). */
import type { Result } from "../../contract/calls/result.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { errorOf, readable, recorded } from "../stored/recorded_error.ts";
import { ownOf } from "../stored/recorded_value.ts";
import type { RunRef } from "../stored/run_ref.ts";
import type { RunsNode } from "../runs_node.ts";

/** Makes the result of a run that has ended, from its recorded outcome. */
export function resultOf({ ok, value, error }: RecordedOutcome): Result<unknown> {
  return ok ? { ok: true, value: ownOf(value) } : { ok: false, error: errorOf(error!) };
}

export function failed(code: CatgaError["code"], message: string, cause?: unknown): Result<never, never> {
  const retryable = RETRYABLE.has(code);
  return { ok: false, error: new CatgaError(code, message, { retryable, cause }) as CatgaError<never> };
}

/** Makes the failure of `start` for an invalid input, or an input from which the workflow's `id` makes no valid id. */
export function notStarted(workflow: string, cause: unknown): Result<never, never> {
  const { message } = recorded(readable(cause)); // recorded, because the program's function may throw anything
  return failed("INVALID_MESSAGE", `workflow ${workflow} was not started: ${message}`, cause);
}

export function noRun({ workflow, run }: RunRef, why = ", or it has ended"): Result<never, never> {
  return failed("NO_RUN", `workflow ${workflow} has no run ${run}${why}`);
}

/** Says, behind the name of a run, that there is no such run, for calls that ended runs answer, too. */
export const NOT_STARTED = ": it was not started yet, or is forgotten";

/** Makes a failed result from a thrown value. */
export function failedWith(error: unknown): Result<never, never> {
  return { ok: false, error: asError(error) as CatgaError<never> };
}

function asError(error: unknown): CatgaError {
  return isCatgaError(error) ? error : new CatgaError("UNAVAILABLE", recorded(error).message, { cause: error });
}

/**
 * Resolves or rejects as the promise `asked` (a sent request) does; but if it has not settled when the app's timeout
 * and one more second have passed, resolves with `OUTCOME_UNKNOWN`, because the request may still be carried out.
 * `what`: names the request in the error.
 */
export function inTime<T>(
  { app: { timeout }, timers }: Pick<RunsNode, "app" | "timers">,
  what: string,
  asked: Promise<Result<T, never>>,
): Promise<Result<T, never>> {
  return new Promise((resolve, reject) => {
    const timer = timers.after(timeout + LAST_LOOK, () => {
      const late = `${what}: the store has not answered within ${timeout} ms, and may have done it`;
      resolve(failed("OUTCOME_UNKNOWN", late));
    });
    asked.then(resolve, reject).finally(() => timer.cancel());
  });
}

/**
 * Time for which the answer to a call is still awaited after the call's timeout, in ms: a frozen server never answers.
 */
export const LAST_LOOK = 1_000;
/** Codes of errors after which the same call of the program may succeed later. */
const RETRYABLE: ReadonlySet<string> = new Set(["UNAVAILABLE", "NOT_ENDED"]);
