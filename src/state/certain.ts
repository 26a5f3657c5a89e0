/** Calls to the store whose answers may get lost, and not wait for ever. */
import type { Clock } from "../clock.ts";
import { CatgaError, isCatgaError } from "../error.ts";

/** Whether a call failed because nothing is known of it: it may have been carried out. */
export function mayHaveHappened(error: unknown): boolean {
  return isCatgaError(error) && error.code === "UNAVAILABLE";
}

/** What a call gives, or `UNAVAILABLE` after `limit` ms: an answer that was lost would be waited for much longer. */
export function answered<T>(clock: Clock, limit: number, call: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(limit, () => {
      reject(
        new CatgaError("UNAVAILABLE", `no answer from the store in ${limit} ms; a write may have happened`, {
          retryable: true,
        }),
      );
    }, { background: true });
    call.then(resolve, reject).finally(() => timer.cancel());
  });
}
