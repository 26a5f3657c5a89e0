/** A bucket that is opened on first use, and kept. */
import type { Bucket } from "../../ports/key_value_store.ts";

/** Gives the bucket: opens it at the first call, and again only when that failed. */
export function openOnce(open: () => Promise<Bucket>): () => Promise<Bucket> {
  let opening: Promise<Bucket> | undefined;
  return () =>
    opening ??= open().catch((error) => {
      opening = undefined;
      throw error;
    });
}
