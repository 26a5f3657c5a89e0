/** Locks, leadership and a cache, which the nodes of a cluster share: their types and options, as programs see them. */
import type { MaybePromise } from "../schemas/schema.ts";
import type { Result } from "./result.ts";
import type { CacheKey } from "./sendable.ts";

/** Options of `lock`. A value out of range is a `RangeError`. */
export interface LockOptions {
  /**
   * How long the lock stays held when its holder dies, in ms: 1,000 at least, rounded up to whole seconds. A live
   * holder renews the lock after a third of this time. Default: 10,000.
   */
  ttl?: number | undefined;
  /**
   * Time to wait for all keys, in ms; then `lock` rejects with `LOCK_TIMEOUT`. 0 does not wait; `Infinity` has no
   * limit. Default: 30,000.
   */
  timeout?: number | undefined;
  /** Aborting this signal ends the wait, with `CANCELLED`. It does not release a lock that is held. Default: none. */
  signal?: AbortSignal | undefined;
}

/**
 * A lock that is held, and renewed until it is released. `lock` resolves with it. `await using` releases it.
 *
 * @example
 * ```ts
 * import { catga } from "@catga/catga";
 *
 * await using app = await catga();
 * const first = await app.lock("report:7");
 * await first.release();
 * await using second = await app.lock("report:7");
 * console.log(second.token > first.token, second.signal.aborted); // true false
 * ```
 */
export interface Lock extends AsyncDisposable {
  /**
   * The fencing token, a safe integer: it grows with every acquisition of the key; for several keys, the greatest of
   * their tokens. Give it to the resource, and have the resource refuse a smaller token: nothing else stops a holder
   * that was paused for longer than its ttl.
   */
  readonly token: number;
  /**
   * Aborts with `LOCK_LOST` before another holder can get the lock, as long as this process runs and its clock agrees
   * with the server's to 1 s (to a third of a ttl below 3 s). Also aborts when the app stops; not on `release`.
   */
  readonly signal: AbortSignal;
  /**
   * Releases the lock; the next waiter gets it. Idempotent, and without effect on a lock that is lost. Does not reject
   * if the store does not answer: the release is tried again in the background until the lock has expired.
   */
  release(): Promise<void>;
}

/** Options of `lead`, which runs a function on one node at a time. */
export interface LeadOptions {
  /**
   * How long a node still counts as the leader when it dies, in ms: 1,000 at least (`RangeError`), rounded up to whole
   * seconds. Default: 10,000.
   */
  ttl?: number | undefined;
}

/**
 * A node's candidacy for a leadership, returned by `lead`. It ends with the app, or by `resign`; `await using` resigns.
 *
 * @example
 * ```ts
 * import { catga } from "@catga/catga";
 *
 * await using app = await catga();
 * const began = Promise.withResolvers<void>();
 * const term = app.lead("billing", (signal) => {
 *   began.resolve();
 *   return new Promise((resolve) => signal.addEventListener("abort", resolve));
 * });
 * await began.promise;
 * await term.resign(); // others may lead now
 * console.log(term.leading); // false
 * ```
 */
export interface Term extends AsyncDisposable {
  /** True while this node leads and its function runs. */
  readonly leading: boolean;
  /**
   * Ends the candidacy: the signal aborts, and another node may lead when the function has ended, at the latest a ttl
   * after this call. Repeated calls do nothing.
   */
  resign(): Promise<void>;
}

/** Options of a cache write. */
export interface CacheSetOptions {
  /**
   * Ttl of the entry, in ms: 1,000 at least (`RangeError`), rounded up to whole seconds. Default: none, the entry is
   * kept for ever. With `replicas` of 2 or more, an entry that is set while the servers remove an expired entry of the
   * same key may be removed together with that one, however long its own ttl is.
   */
  ttl?: number | undefined;
  /**
   * A fencing token, `lock.token` or `ctx.fence`: the write is refused if the present entry was written with a greater
   * token. `TypeError` if it is not a whole number. Default: none.
   */
  fence?: number | undefined;
}

/** Options of `cache.getOrSet`. */
export interface CacheLoadOptions extends CacheSetOptions {
  /**
   * True: at most one load of a key at a time in the whole cluster; false: at most one in this node. Default: `false`.
   */
  once?: boolean | undefined;
  /** Timeout of one load, in ms: 1 to 2^31 - 1. Default: none. */
  timeout?: number | undefined;
  /** Aborting this signal ends the wait, with `CANCELLED`. Default: none. */
  signal?: AbortSignal | undefined;
}

/**
 * Values that the nodes of a cluster share. Every read asks the store; with several replicas a read may lag behind a
 * write.
 *
 * All methods reject with a `CatgaError`: `UNAVAILABLE` if the store does not answer within 5 s (a write may have
 * happened), `BUCKET_MISMATCH` or `CLOSED`; with a `TypeError` or `RangeError` for a key that is no well-formed string
 * of at most 4,096 characters.
 *
 * @example
 * ```ts
 * import { catga } from "@catga/catga";
 *
 * await using app = await catga();
 * await app.cache.set("price:tea", { cents: 420 }, { ttl: 60_000 });
 * const price = await app.cache.get<{ cents: number }>("price:tea");
 * console.log(price?.cents); // 420
 * console.log(await app.cache.getOrSet("price:mate", () => ({ cents: 390 }), { ttl: 60_000 })); // { cents: 390 }
 * ```
 */
export interface Cache {
  /**
   * Resolves with a copy of the value of a key; `undefined` if the key has none. Nothing checks that the value has the
   * type `T`.
   */
  get<T>(key: string): Promise<T | undefined>;
  /**
   * Writes a value. Resolves with `false`, without writing, if `fence` is smaller than the fence of the present entry.
   * A value that cannot be sent, `undefined` included, is a `TypeError`; a value that exceeds the server's
   * `max_payload` is `TOO_LARGE`.
   */
  set<T>(key: CacheKey<T>, value: T, options?: CacheSetOptions): Promise<boolean>;
  /** Removes a key with its value and fence; does nothing if the key does not exist. */
  delete(key: string): Promise<void>;
  /**
   * Resolves with the value of a key, or calls `load` and stores the value that it returns. One load at a time per key
   * in this node; with `once` in the cluster, by a lock with a ttl of 10 s (`LOCK_TIMEOUT` after 30 s of waiting for
   * another node's load). An error that `load` throws is thrown, and not stored.
   *
   * Waits until the load ends, until `timeout` or `signal` ends the wait, and in `ctx.cache` until the message's
   * deadline. A load that no caller waits for any more goes on, and its value is stored unless the key has a value when
   * the load ends; the next call that misses begins another load. After a `delete` by this node the next call also
   * begins another load: the value of a load that was running at the `delete` is not stored. A `load` that would wait
   * for itself, by its own key or through other loads of this node, is a `DEADLOCK`.
   */
  getOrSet<T>(key: CacheKey<T>, load: () => MaybePromise<T>, options?: CacheLoadOptions): Promise<T>;
}

/**
 * Runs the handler of an idempotent command under a claim (the lock of its id). Calling `check` reports the claim as
 * lost if its lease has ended, which a late timer may not have noticed yet.
 */
export type ClaimedRun = (fence: number, check: () => void) => MaybePromise<Result<unknown>>;
