/**
 * The second of the two ports: shared entries with revisions, compare-and-set, expiry and watches, as JetStream KV has
 * them. `memory/` and `nats/` implement it, under one conformance suite.
 */

/** The shared store of a cluster: buckets of entries. */
export interface KeyValueStore {
  /**
   * Opens a bucket and makes it when it is not there. `name` is letters, digits, `-` and `_`.
   *
   * Rejects with a `CatgaError`: `UNAVAILABLE` when the store cannot be reached in time; `BUCKET_MISMATCH` when the
   * bucket exists with other settings, naming the setting.
   */
  open(name: string, options?: BucketOptions): Promise<Bucket>;
}

/** Options of {@link KeyValueStore.open}. */
export interface BucketOptions {
  /** Allows reads from a server that may lag behind the leader; `false`. */
  direct?: boolean;
  /** On how many servers each entry is kept; 1. */
  replicas?: number;
}

/**
 * A bucket. Keys are any well-formed string of at most {@link MAX_KEY_LENGTH} characters, no two of them the same;
 * another one is a `TypeError` or `RangeError`. Every method rejects with a `CatgaError` `UNAVAILABLE` when the store
 * does not answer in time, and `CLOSED` when its connection is closed; a write that failed so may have happened.
 *
 * An entry with a ttl is believed no longer than that and a margin of 1 s, even if the store has forgotten the ttl or cannot
 * expire it: then `get` and `entries` do not have it, `create` writes over it, and a watch takes it away, which every watch is
 * told. It ends by the store's own clock, and at the latest a ttl after a watch has seen it, unchanged, for the first time;
 * the wall clock of this process does not matter. Compare-and-set decides: an entry that was written again is never taken
 * away, and one that nobody has taken away may still be written again by `update`.
 */
export interface Bucket {
  readonly name: string;
  /** The entry of a key, from the leader unless the bucket is `direct`. */
  get(key: string): Promise<Entry | undefined>;
  /** Writes a key that has no entry. Gives the revision, or `undefined` when there was one. */
  create(key: string, value: string, options?: WriteOptions): Promise<number | undefined>;
  /**
   * Writes over the entry of this revision. Gives the new revision, or `undefined` when the key stands at another one
   * or is gone. A ttl begins anew; without one the entry stays for good.
   */
  update(key: string, value: string, revision: number, options?: WriteOptions): Promise<number | undefined>;
  /** Writes, whatever was there. Gives the revision. */
  put(key: string, value: string, options?: WriteOptions): Promise<number>;
  /**
   * Removes the entry and leaves nothing behind, in a store without room for more as well. With a `revision` only the entry at that revision: `false` when the key
   * stands at another one. A key without an entry is `true` when no revision was asked for.
   */
  delete(key: string, options?: { revision?: number }): Promise<boolean>;
  /** The entries whose keys start with `prefix`, in the order of their revisions. */
  entries(prefix: string): Promise<Entry[]>;
  /**
   * Calls back for every current entry whose key starts with `prefix`, resolves, and then calls back for every change:
   * for one key only with revisions that grow. It outlives reconnects, and a store that lost everything: what changed in
   * between is told afterwards (of several changes of one key the last). Ends when the signal aborts or the store is
   * closed. `onChange` must not throw.
   */
  watch(prefix: string, onChange: (change: Change) => void, options: { signal: AbortSignal }): Promise<void>;
}

/** Options of a write. */
export interface WriteOptions {
  /**
   * How long the entry lives, in ms, rounded up to whole seconds. At least 1,000 (`RangeError`): NATS knows no shorter
   * one. Without it, for good.
   */
  ttl?: number;
}

/** A key and its value. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Grows with every write to the bucket, in a bucket that was lost and made anew as well. */
  readonly revision: number;
}

/**
 * What {@link Bucket.watch} tells. `vanish`: an entry has gone while nobody looked, deleted, expired or with a store that
 * lost it.
 */
export type Change =
  | ({ readonly type: "put" } & Entry)
  | { readonly type: "delete" | "expire" | "vanish"; readonly key: string; readonly revision: number };

/** The longest key, in UTF-16 code units. */
export const MAX_KEY_LENGTH = 4_096;

/** Throws for a key that no bucket takes. */
export function checkKey(key: string): void {
  if (typeof key !== "string") throw new TypeError(`a key must be a string, not ${typeof key}`);
  if (key.length > MAX_KEY_LENGTH) {
    throw new RangeError(
      `a key has at most ${MAX_KEY_LENGTH} characters; this one has ${key.length}: ${key.slice(0, 40)}…`,
    );
  }
  if (!key.isWellFormed()) {
    throw new TypeError(
      `a key must be well-formed Unicode; this one has half a surrogate pair: ${JSON.stringify(key)}`,
    );
  }
}

/** Throws for a bucket that no store opens. */
export function checkBucket(name: string, replicas: number): void {
  if (!/^[\w-]+$/.test(name)) {
    throw new TypeError(`a bucket's name is letters, digits, "-" and "_"; got ${JSON.stringify(name)}`);
  }
  if (!(Number.isInteger(replicas) && replicas >= 1 && replicas <= 5)) {
    throw new RangeError(`replicas are 1 to 5; got ${replicas}`);
  }
}

/** A ttl in whole seconds, rounded up; throws for one below 1 s. */
export function ttlSeconds(ttl: number): number {
  if (!(ttl >= 1_000 && Number.isFinite(ttl))) {
    throw new RangeError(`a ttl is a number of ms, at least 1,000; got ${ttl}`);
  }
  return Math.ceil(ttl / 1_000);
}
