/**
 * How an entry is removed: by a marker in its place, which watchers are told of, or else, where a full store has no room for
 * one, by erasing it.
 */
import { MARKER_TTL } from "./bucket_settings.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { JetStreamRefusal } from "./jetstream.ts";
import { packValue } from "./key.ts";

/** What to remove. */
export interface Removal {
  /** The key's subject, below the bucket's prefix. */
  readonly subject: string;
  /** For watchers that have not seen the entry. */
  readonly key?: string;
  /** Only what stands at this revision; whatever stands there. */
  readonly revision?: number | undefined;
  /** Its time was over: watchers are told so. */
  readonly overdue?: boolean;
}

/** Removes an entry, and gives the marker's revision when one was written. `undefined`: the key stands at another revision. */
export async function remove(
  stream: BucketStream,
  { subject, key, revision, overdue }: Removal,
): Promise<{ readonly marker?: number } | undefined> {
  const data = key === undefined ? "" : packValue(subject, key, "");
  const headers = {
    ...(overdue ? { "Nats-Marker-Reason": "MaxAge" } : { "KV-Operation": "PURGE" }),
    "Nats-Rollup": "sub",
    // kv.delete of nats.js leaves a marker for ever
    "Nats-TTL": `${MARKER_TTL}s`,
  };
  const mark = (expected: number | undefined) => stream.write(subject, data, headers, expected, { whenFull: "fail" });
  try {
    const marker = await mark(revision);
    return marker === undefined ? undefined : { marker };
  } catch (error) {
    if (!isFull(error)) throw error;
  }
  if (!await erase(stream, subject, revision)) return undefined;
  // there may be room for a marker now: without one watchers notice by their own timers only
  try {
    const marker = await mark(0);
    return marker === undefined ? {} : { marker };
  } catch (error) {
    if (!isFull(error)) throw error;
    return {};
  }
}

/** Erases what stands at a revision, or whatever stands there. `false`: the key stands at another revision. */
async function erase(stream: BucketStream, subject: string, revision: number | undefined): Promise<boolean> {
  const { js, name, prefix } = stream;
  while (true) {
    const last = await stream.attempt((limit) => js.last(name, prefix + subject, limit), { again: true });
    // the server is given the revision alone, which may be another key's
    if (revision !== undefined && last?.revision !== revision) return false;
    if (last?.type !== "put") return true;
    if (await stream.attempt((limit) => js.erase(name, last.revision, limit), { again: false })) return true;
  }
}

function isFull(error: unknown): boolean {
  return error instanceof JetStreamRefusal && error.refusal === "full";
}
