/** Opens something once for all callers, and again after a failure. */
import { outside } from "../data/async_context.ts";

/**
 * Returns a function that opens something at its first call and always resolves with the same result; after a failure,
 * the next call opens again.
 */
export function openOnce<T>(open: () => Promise<T>): () => Promise<T> {
  let opening: Promise<T> | undefined;
  return () =>
    // in no async context: the result serves all callers
    opening ??= outside(open).catch((error) => {
      opening = undefined;
      throw error;
    });
}
