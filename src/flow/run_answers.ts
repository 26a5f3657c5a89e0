/** Answers to what programs ask of runs. */
import type { Result } from "../contract/result.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import type { RecordedOutcome } from "./journal.ts";
import { errorOf, readable, recorded } from "./recorded_error.ts";
import { ownOf } from "./recorded_value.ts";
import type { RunRef } from "./run_ref.ts";
import type { DriveHost } from "./drive_host.ts";

/** The result of a run that has ended. */
export function resultOf({ ok, value, error }: RecordedOutcome): Result<unknown> {
  return ok ? { ok: true, value: ownOf(value) } : { ok: false, error: errorOf(error!) };
}

export function failed(code: CatgaError["code"], message: string, cause?: unknown): Result<never, never> {
  const retryable = RETRYABLE.has(code);
  return { ok: false, error: new CatgaError(code, message, { retryable, cause }) as CatgaError<never> };
}

/** The input of a run, or the id that its contract makes of it, is invalid. */
export function notStarted(workflow: string, cause: unknown): Result<never, never> {
  const { message } = recorded(readable(cause)); // the contract's function may throw anything
  return failed("INVALID_MESSAGE", `workflow ${workflow} was not started: ${message}`, cause);
}

export function noRun({ workflow, run }: RunRef, why = ", or it has ended"): Result<never, never> {
  return failed("NO_RUN", `workflow ${workflow} has no run ${run}${why}`);
}

/** A failure with what was thrown. */
export function failedWith(error: unknown): Result<never, never> {
  return { ok: false, error: asError(error) as CatgaError<never> };
}

function asError(error: unknown): CatgaError {
  return isCatgaError(error) ? error : new CatgaError("UNAVAILABLE", recorded(error).message, { cause: error });
}

/** Waits for what a program asked of a run, for the app's timeout and a second: later it may still be carried out. */
export function inTime<T>(
  { app: { timeout }, clock }: Pick<DriveHost, "app" | "clock">,
  what: string,
  asked: Promise<Result<T, never>>,
): Promise<Result<T, never>> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeout + LAST_LOOK, () => {
      const late = `${what}: the store has not answered within ${timeout} ms, and may have done it`;
      resolve(failed("OUTCOME_UNKNOWN", late));
    }, { background: true });
    asked.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** How much later than its timeout an answer may come: a frozen server answers nobody, in ms. */
export const LAST_LOOK = 1_000;
/** After these codes the same call may succeed later. */
const RETRYABLE: ReadonlySet<string> = new Set(["UNAVAILABLE", "NOT_ENDED"]);
