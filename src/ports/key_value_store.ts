/**
 * The second port (interface to the outside): shared entries with revisions, compare-and-set, expiry and watches, as in
 * JetStream KV. The folders `memory/` and `nats/` implement it, and `key_value_store_suite.ts` tests both. An operation
 * that may be done twice can wait until the servers of a store have elected a leader (`election` in `repeat.ts`).
 */
import { checkInteger, checkNumber, isToken, LONGEST_TTL } from "../data/checks.ts";

/** The shared store of a cluster, which has buckets of entries. */
export interface KeyValueStore {
  /**
   * Opens a bucket, and creates it if it does not exist. `name` has letters, digits, `-` and `_`.
   *
   * Rejects with a `CatgaError`: `UNAVAILABLE` if the store cannot be reached in time; `BUCKET_MISMATCH` if the bucket
   * exists with other settings; the error names the setting.
   */
  open(name: string, options?: BucketOptions): Promise<Bucket>;
}

/** Settings that a bucket has in its store. */
export interface BucketSettings {
  /** True if reads may come from a server that lags behind the leader. Default: false. */
  direct: boolean;
  /** Number of servers that keep each entry. Default: 1. */
  replicas: number;
}

/** Options of {@link KeyValueStore.open}, which opens a bucket. */
export interface BucketOptions extends Partial<BucketSettings> {
  /**
   * True if each entry belongs to a live process, which removes it or renews it. A bucket that outlives its process in
   * a file is empty when the next process opens it. Default: false.
   */
  ofProcesses?: boolean;
}

/**
 * A bucket: a set of entries, each with a key, a value and a revision. A key is any well-formed string of at most
 * {@link MAX_KEY_LENGTH} characters; an invalid key is a `TypeError` or `RangeError`. Every method rejects with a
 * `CatgaError` `UNAVAILABLE` when the store does not answer in time, and `CLOSED` when its connection is closed; a
 * write that failed so may have happened.
 *
 * An entry with a ttl is valid for the ttl and a margin of 1 s at most, even if the store has lost the ttl or cannot
 * expire the entry. An entry that is no longer valid: `get` and `entries` leave it out, `create` overwrites it, and a
 * watch removes it, which every watch reports. The entry's time ends by the store's own clock, and at the latest a ttl
 * after a watch has first seen it unchanged; the wall clock of this process does not matter. Removal is
 * compare-and-set: an entry that was written again is never removed, and one that has not been removed yet may still be
 * written again by `update`.
 */
export interface Bucket {
  readonly name: string;
  /**
   * Number of entries when this client last looked at the whole bucket, which it does when it opens the bucket. Entries
   * that were removed a moment before may be counted.
   */
  readonly size: number;
  /**
   * Reads the entry of a key; from the leader of the bucket's stream if `latest` is true or the bucket is not `direct`.
   * Resolves with `undefined` if the key has no entry.
   */
  get(key: string, options?: { latest?: boolean }): Promise<Entry | undefined>;
  /** Writes a key that has no entry. Resolves with the revision, or with `undefined` if there was an entry. */
  create(key: string, value: string, options?: WriteOptions): Promise<number | undefined>;
  /**
   * Overwrites the entry if it has this revision. Resolves with the new revision, or with `undefined` if the key has
   * another revision or no entry. With a `ttl`, the entry's time begins anew; without one, the entry stays for ever.
   */
  update(key: string, value: string, revision: number, options?: WriteOptions): Promise<number | undefined>;
  /**
   * Writes the value of a key, whether the key has an entry or not; may write several times. Resolves with the
   * revision.
   */
  put(key: string, value: string, options?: WriteOptions): Promise<number>;
  /**
   * Removes the entry of a key, and every trace of it, even in a full store. With a `revision`, removes the entry only
   * if it has that revision; resolves with false if it has another one. Without a `revision`, resolves with true even
   * if the key has no entry. `note` is passed on to watches.
   */
  delete(key: string, options?: DeleteOptions): Promise<boolean>;
  /** Reads the entries whose keys start with `prefix`, ordered by revision. */
  entries(prefix: string): Promise<Entry[]>;
  /**
   * Calls `onChange` for every current entry whose key starts with `prefix`, and for every change from then on; for
   * each key the revisions only grow. Resolves when the current entries were reported. A change may be reported before
   * the watch resolves, and before the write that made it resolves, or after either. The watch survives reconnects, and
   * a store that lost everything: of the changes during an interruption, the last one of each key is reported when the
   * interruption ends. The watch ends when the signal aborts or the store is closed. `onChange` must not throw.
   */
  watch(prefix: string, onChange: (change: Change) => void, options: { signal: AbortSignal }): Promise<void>;
}

/** Options of a write. */
export interface WriteOptions {
  /**
   * Time after which the entry expires, in ms, rounded up to whole seconds; at least 1,000 (else a `RangeError`), the
   * minimum of NATS. Absent: the entry never expires.
   */
  ttl?: number;
}

/** Options of {@link Bucket.delete}, which deletes the entry of a key. */
export interface DeleteOptions {
  revision?: number | undefined;
  note?: string | undefined;
}

/** A key, its value and the value's revision. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** A number that grows with every write to the bucket, even if the bucket was lost and created again in between. */
  readonly revision: number;
}

/**
 * A change that {@link Bucket.watch} reports. `vanish`: an entry has disappeared while the watch was interrupted; it
 * was deleted, has expired, or was lost with its store.
 */
export type Change =
  | ({
    readonly type: "put";
    /**
     * True if the entry may have replaced one whose ttl had ended, which the store was about to remove: then the store
     * may remove this entry as well, although its ttl has just begun. A later write of the key is not removed with it.
     */
    readonly overdue?: true;
  } & Entry)
  | { readonly type: "delete"; readonly key: string; readonly revision: number; readonly note?: string }
  | { readonly type: "expire" | "vanish"; readonly key: string; readonly revision: number };

/** Maximum length of a key, in UTF-16 code units. */
export const MAX_KEY_LENGTH = 4_096;
/** Maximum length of a lock's key, in UTF-16 code units: the stored records of locks add characters to it. */
export const MAX_LOCK_KEY = MAX_KEY_LENGTH - 64;

/** Throws if the key is invalid for a bucket. */
export function checkKey(key: string): void {
  if (typeof key !== "string") throw new TypeError(`a key must be a string, not ${typeof key}`);
  if (key.length > MAX_KEY_LENGTH) {
    throw new RangeError(
      `a key has at most ${MAX_KEY_LENGTH} characters; this one has ${key.length}: ${key.slice(0, 40)}…`,
    );
  }
  if (!key.isWellFormed()) throw new TypeError(`a key must be well-formed Unicode; got ${JSON.stringify(key)}`);
}

/** Throws if the name of a bucket, or its number of replicas, is invalid. */
export function checkBucket(name: string, replicas: number): void {
  if (!isToken(name)) {
    throw new TypeError(`a bucket's name is letters, digits, "-" and "_"; got ${JSON.stringify(name)}`);
  }
  checkInteger("replicas", replicas, 1, 5);
}

/**
 * Rounds a ttl up to whole seconds, a hundred years at most; throws if the ttl is not a number, or below 1 s. `name`:
 * name of the option, for the error.
 */
export function ttlSeconds(ttl: number, name = "ttl"): number {
  checkNumber(name, ttl, 1_000, Number.MAX_SAFE_INTEGER, "ms");
  return Math.ceil(Math.min(ttl, LONGEST_TTL) / 1_000);
}

// The buckets of a namespace: their names and options.

/** The purpose of a bucket of a namespace. */
export type BucketKind = "nodes" | "locks" | "idempotency" | "cache" | "snapshots";

/** By kind of bucket: its options, the same in every namespace; the app adds `replicas`. */
export const BUCKETS: Readonly<Record<BucketKind, Omit<BucketOptions, "replicas"> & { readonly direct: boolean }>> = {
  nodes: { direct: false, ofProcesses: true },
  locks: { direct: false, ofProcesses: true },
  idempotency: { direct: false },
  cache: { direct: true },
  // reads from a server that lags behind do no harm: a snapshot says which message of the stream it includes last, is
  // ignored if the stream does not have that message, and later events are read from the stream
  snapshots: { direct: true },
};

/** Returns the name of a bucket. */
export function bucketName(namespace: string, kind: BucketKind): string {
  return `catga_${namespace}_${kind}`;
}

/** Returns the name that the stream of a bucket has in NATS. */
export function bucketStreamName(bucket: string): string {
  return `KV_${bucket}`;
}
