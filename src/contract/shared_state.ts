/** What the nodes of a cluster share besides messages, as the core sees it; `state/` implements it, `catga.ts` wires it. */
import type { MaybePromise } from "./schema.ts";
import type { Result } from "./result.ts";

/** Options of `lock`. All of them may be left out; a value out of range is a `RangeError`. */
export interface LockOptions {
  /** How long the lock outlives its holder, in ms: 1,000 at least, rounded up to whole seconds; renewed at a third. 10,000. */
  ttl?: number;
  /** How long to wait for all of its keys, in ms: `LOCK_TIMEOUT` then; 0 does not wait, `Infinity` waits on. 30,000. */
  timeout?: number;
  /** Stops waiting when it aborts: `CANCELLED`; a lock that is held stays so. None. */
  signal?: AbortSignal;
}

/**
 * A lock that is held, and renewed until it is released: what `lock` gives. `await using` releases it.
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
   * The fencing token, a safe integer: grows with every acquisition of the key; of several keys the greatest. Give it to the
   * resource, and let that refuse what comes with a smaller one: nothing else stops a holder that was paused for longer
   * than its ttl.
   */
  readonly token: number;
  /**
   * Aborts with `LOCK_LOST` before somebody else can hold the lock, as long as this process runs and its clock agrees with the
   * server's to 1 s (to a third of a ttl below 3 s); also when the app stops. Not by `release`.
   */
  readonly signal: AbortSignal;
  /**
   * Gives it to who waits for it. Idempotent; a lock that is lost already is somebody else's, and stays so. A store that does
   * not answer is no error: it is tried further in the background, until the lock has expired.
   */
  release(): Promise<void>;
}

/** Options of `lead`. */
export interface LeadOptions {
  /** How long leadership outlives its node, in ms: 1,000 at least (`RangeError`), rounded up to whole seconds; 10,000. */
  ttl?: number;
}

/**
 * A node's wish to lead: what `lead` gives. It ends with the app, or when it resigns; `await using` resigns.
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
  /** Whether this node leads now, and its function runs. */
  readonly leading: boolean;
  /** Stands no more: the signal aborts, and others may lead when the function has ended, or a ttl later. Idempotent. */
  resign(): Promise<void>;
}

/** Options of a cache write. */
export interface CacheSetOptions {
  /** How long it is kept, in ms: 1,000 at least (`RangeError`), rounded up to whole seconds; for good. */
  ttl?: number;
  /**
   * A fencing token, `lock.token` or `ctx.fence`: the write is refused when the entry that is there was written with a greater
   * one. No whole number is a `TypeError`. None.
   */
  fence?: number;
}

/** Options of `cache.getOrSet`. */
export interface CacheLoadOptions extends CacheSetOptions {
  /** One load at a time in the cluster, instead of in this node; `false`. */
  once?: boolean;
  /** How long it waits for a load, in ms: 1 to 2^31 - 1, then `TIMEOUT`; for as long as that takes. */
  timeout?: number;
  /** Waits no longer when it aborts: `CANCELLED`; none. */
  signal?: AbortSignal;
}

/**
 * JSON values that the nodes of a cluster share. Every read asks the store; with several replicas it may lag behind a write.
 *
 * All methods reject with a `CatgaError` `UNAVAILABLE` when the store does not answer within 5 s (a write may have happened),
 * `BUCKET_MISMATCH` or `CLOSED`; with a `TypeError` or `RangeError` for a key that is no well-formed string of at most 4,096
 * characters.
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
  /** The value of a key, a copy; `undefined` when there is none. That it is a `T` is the caller's word. */
  get<T>(key: string): Promise<T | undefined>;
  /**
   * Writes a value; `false` when `fence` is smaller than that of the entry which is there. What JSON cannot encode, `undefined`
   * too, is a `TypeError`; what exceeds the server's `max_payload` is `TOO_LARGE`.
   */
  set(key: string, value: unknown, options?: CacheSetOptions): Promise<boolean>;
  /** Removes a key, and its fence with it; nothing when it is not there. */
  delete(key: string): Promise<void>;
  /**
   * The value of a key, or what `load` gives, which is then kept. One load at a time per key in this node; with `once` in
   * the cluster, by a lock with a ttl of 10 s (`LOCK_TIMEOUT` for who has waited 30 s for another's load). What `load` throws
   * is thrown, and not kept.
   *
   * Waits for as long as the load takes, and no longer than `timeout` or `signal` say; `ctx.cache` no longer than the message
   * either. A load that nobody waits for any more goes on, and its value is kept when it comes; the next who misses begins
   * another one. In a `load` that would have to wait for itself, by its own key or through others of this node: `DEADLOCK`.
   */
  getOrSet<T>(key: string, load: () => MaybePromise<T>, options?: CacheLoadOptions): Promise<T>;
}

/** Runs the handler under a claim. `check` calls {@link Claimant.lost} if the claim's lease has ended: timers may run late. */
export type ClaimedRun = (fence: number, check: () => void) => MaybePromise<Result<unknown>>;
