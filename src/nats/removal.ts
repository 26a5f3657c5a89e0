/**
 * Removes entries of a bucket. An entry is replaced by a marker, which watches receive, and which expires after 1 s.
 * A full store has no room for a marker: there the entry is erased, which makes room, and a marker is written
 * afterwards. If there is still no room for it, watches notice the removal at the end of the entry's ttl, or at their
 * next listing. A purge of `@nats-io/kv` does less: docs/internals/packages.md, row `kv-purge`.
 */
import { MARKER_TTL } from "./bucket_settings.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import { packValue } from "./key_subject.ts";

/** An entry of a bucket that is to be removed. */
export interface Removal {
  /** Subject of the entry's key, without the bucket's prefix. */
  readonly subject: string;
  /**
   * The entry's key, if it is known. It is written into the marker for watches that never received the entry of a
   * hashed subject.
   */
  readonly key?: string;
  /** Revision that the entry must have to be removed; absent: any. */
  readonly revision?: number | undefined;
  /** Text that watches report with the removal; absent: none. */
  readonly note?: string | undefined;
  /** True if the entry's ttl has passed: watches report `expire` instead of `delete`. */
  readonly expired?: boolean;
}

/**
 * Removes an entry. Resolves with `marker`, the revision of the marker that replaces it, or without `marker` if the
 * store has no room for one; `undefined`: nothing was removed, because the key has another revision.
 */
export async function remove(
  stream: BucketStream,
  { subject, key, revision, note = "", expired }: Removal,
): Promise<{ readonly marker?: number } | undefined> {
  const data = key === undefined ? "" : packValue(subject, key, note);
  const headers = {
    ...(expired ? { "Nats-Marker-Reason": "MaxAge" } : { "KV-Operation": "PURGE" }),
    "Nats-Rollup": "sub",
  };
  // the marker has a ttl, because a marker without a ttl stays for ever, as those of `kv.delete` of nats.js do
  const ttl = `${MARKER_TTL}s`;
  const writeMarker = (expected: number | undefined) =>
    stream.write(subject, data, { ttl, expected, headers }, { whenFull: "fail" });
  try {
    const marker = await writeMarker(revision);
    return marker === undefined ? undefined : { marker };
  } catch (error) {
    if (!isFull(error)) throw error;
  }
  if (!await erase(stream, subject, revision)) return undefined;
  // the erasure may have made room for a marker: watches receive the marker at once
  try {
    const marker = await writeMarker(0);
    return marker === undefined ? {} : { marker };
  } catch (error) {
    if (!isFull(error)) throw error;
    return {};
  }
}

/**
 * Erases an entry of a bucket. `revision`: revision that it must have; `undefined`: any. Resolves with false if the
 * key is at another revision.
 */
export async function erase(stream: BucketStream, subject: string, revision: number | undefined): Promise<boolean> {
  const { js, name, prefix } = stream;
  while (true) {
    const last = await stream.attempt((limit) => js.last(name, prefix + subject, limit));
    // the revision is checked here, because the server erases by revision alone, without comparing the key
    if (revision !== undefined && last?.revision !== revision) return false;
    if (last?.type !== "put") return true;
    if (await stream.attempt((limit) => js.erase(name, last.revision, limit), { once: true })) return true;
  }
}

function isFull(error: unknown): boolean {
  return error instanceof JetStreamRefusal && error.refusal === "full";
}
