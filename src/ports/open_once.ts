/** Opens something once for all who ask for it, and again after it failed. */
import { outside } from "../data/async_context.ts";

/** A function that returns the one of its kind, opening it if that has not succeeded yet: a failure is not kept. */
export function openOnce<T>(open: () => Promise<T>): () => Promise<T> {
  let opening: Promise<T> | undefined;
  return () =>
    // in no async context: what is opened serves all who need it
    opening ??= outside(open).catch((error) => {
      opening = undefined;
      throw error;
    });
}
