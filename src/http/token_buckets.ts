/** Limits of calls by caller: a token bucket each, in this process. */
import type { Clock } from "../ports/clock.ts";

/** Options of {@link TokenBuckets}. */
export interface TokenBucketsOptions {
  readonly clock: Pick<Clock, "monotonic">;
  /** Tokens a second. */
  readonly rate: () => number;
  /** Tokens that a bucket holds at most. */
  readonly burst: () => number;
  /** Buckets at most; those that were used longest ago go first. */
  readonly most: number;
}

interface TokenBucket {
  tokens: number;
  /** When `tokens` was counted, by the monotonic clock. */
  at: number;
}

/** Token buckets by caller. */
export class TokenBuckets {
  readonly #options: TokenBucketsOptions;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(options: TokenBucketsOptions) {
    this.#options = options;
  }

  /** Takes a token. Returns the time until there is one, in ms; 0: it was taken. */
  take(caller: string): number {
    const { clock, most } = this.#options;
    const [rate, burst, now] = [this.#options.rate(), this.#options.burst(), clock.monotonic()];
    const bucket = this.#buckets.get(caller) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.at) / 1_000 * rate);
    bucket.at = now;
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    // a bucket that is full again says nothing: only callers who are many at once are forgotten early
    if (this.#buckets.size > most) this.#buckets.delete(this.#buckets.keys().next().value!);
    if (bucket.tokens < 1) return (1 - bucket.tokens) / rate * 1_000;
    bucket.tokens--;
    return 0;
  }
}
