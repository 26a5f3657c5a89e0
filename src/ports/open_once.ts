/** Opens something once for all callers, and again after a failure. */
import { outside } from "../data/async_context.ts";

/**
 * Returns a function that calls `open` when it is first called, and always resolves with that result; after a failure,
 * the next call opens again.
 */
export function openOnce<T>(open: () => Promise<T>): () => Promise<T> {
  let opening: Promise<T> | undefined;
  return () =>
    // the function `open` runs in no caller's async context, because its result serves all callers
    opening ??= outside(open).catch((error) => {
      opening = undefined;
      throw error;
    });
}
