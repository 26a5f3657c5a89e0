/** Rate limits of calls by caller: a token bucket for each caller, in this process. */
import type { Clock } from "../ports/clock.ts";

/** Options of {@link TokenBuckets}, which limit the calls of each caller. */
export interface TokenBucketsOptions {
  readonly clock: Pick<Clock, "monotonic">;
  /** Number of tokens added to each bucket per second. */
  readonly rate: () => number;
  /** Maximum number of tokens in a bucket. */
  readonly burst: () => number;
  /** Maximum number of buckets; the least recently used buckets are removed first. */
  readonly most: number;
}

interface TokenBucket {
  tokens: number;
  /** Time at which `tokens` was computed, by the monotonic clock. */
  at: number;
}

/** Token buckets: one for each caller. */
export class TokenBuckets {
  readonly #options: TokenBucketsOptions;
  /** By caller: the bucket, in the order of last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(options: TokenBucketsOptions) {
    this.#options = options;
  }

  /**
   * Takes a token of a caller's bucket. Returns 0 if it was taken; otherwise the time until a token is available, in
   * ms.
   */
  take(caller: string): number {
    const { clock, most } = this.#options;
    const [rate, burst, now] = [this.#options.rate(), this.#options.burst(), clock.monotonic()];
    const bucket = this.#buckets.get(caller) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.at) / 1_000 * rate);
    bucket.at = now;
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    // the least recently used bucket is most likely full, and a caller without a bucket gets a full one; a bucket that
    // is not full is removed only if very many callers call at once
    if (this.#buckets.size > most) this.#buckets.delete(this.#buckets.keys().next().value!);
    if (bucket.tokens < 1) return (1 - bucket.tokens) / rate * 1_000;
    bucket.tokens--;
    return 0;
  }
}
