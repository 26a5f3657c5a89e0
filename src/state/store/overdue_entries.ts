/**
 * Writes over entries whose ttl may have ended. With replicas, nats-server (2.15) removes an expired entry by a marker
 * that removes whatever the key has by then: also an entry that a client has written over the expired one, at its
 * revision, while the marker was being made, although that write was acknowledged. The write after it is safe: it is
 * refused while a marker is under way, and no marker is made for an entry that has been replaced.
 */
import type { Bucket, Entry, WriteOptions } from "../../ports/key_value_store.ts";

/**
 * Replaces an entry, by two writes if its ttl may have ended when the first is acknowledged (`isOverdue`). Resolves
 * with the new revision; with `undefined` if the key has another revision than the entry, or a removal of the entry was
 * under way: the key may then have this text.
 */
export async function replaceOverdue(
  bucket: Bucket,
  { key, revision }: Entry,
  text: string,
  options: WriteOptions,
  isOverdue: () => boolean,
): Promise<number | undefined> {
  const first = await bucket.update(key, text, revision, options);
  return first === undefined || !isOverdue() ? first : await bucket.update(key, text, first, options);
}
