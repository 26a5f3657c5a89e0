/** Opens a bucket on first use and keeps it; a failure is not kept, so that the next call tries again. */
import type { Bucket } from "../../ports/key_value_store.ts";

/** A function that returns the one bucket, opening it if that has not succeeded yet. */
export function openOnce(open: () => Promise<Bucket>): () => Promise<Bucket> {
  let opening: Promise<Bucket> | undefined;
  return () =>
    opening ??= open().catch((error) => {
      opening = undefined;
      throw error;
    });
}
