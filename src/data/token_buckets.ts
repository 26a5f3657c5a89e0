/** Token buckets by key: each key has a limit of its own, in bounded memory. */

/** A limit of messages or calls per time. */
export interface TokenLimit {
  /** Number of tokens that each bucket gets in `per` ms. */
  readonly rate: number;
  /** Period to which `rate` refers, in ms. */
  readonly per: number;
  /** Maximum number of tokens in a bucket. */
  readonly burst: number;
}

interface TokenBucket {
  /** Number of tokens at the time `at`. */
  tokens: number;
  /** Time at which `tokens` was computed, in ms. */
  at: number;
}

/**
 * A token bucket for each key. A bucket is kept at least until it is full again, or many other keys came after it; a
 * key without a bucket gets a full one.
 *
 * The buckets are in two generations: when the young one is large or old enough, it replaces the old one. A map in the
 * order of last use would take 35 to 130 µs for each key beyond its maximum (measured, Deno 2.9, Bun 1.4): each look at
 * its first entry passes over the removed entries before it.
 * @decides a key has used up its limit: a caller of an edge, or a key of `rateLimit()`
 */
export class TokenBuckets {
  readonly #most: number;
  #young = new Map<string, TokenBucket>();
  #old = new Map<string, TokenBucket>();
  /** Bucket of everything that has no key. */
  #keyless: TokenBucket | undefined;
  /** Length of the keys of the young generation, in characters. */
  #length = 0;
  /** Time at which the young generation began, in ms. */
  #since = -Infinity;

  /** `most`: maximum number of keys whose buckets are kept. */
  constructor(most = MAX_KEYS) {
    this.#most = most;
  }

  /**
   * Takes a token of a key's bucket at the time `now`, in ms by a monotonic clock. Returns `undefined` if it was taken;
   * otherwise the time until a token is available, in ms.
   */
  take(key: string | undefined, limit: TokenLimit, now: number): number | undefined {
    const { rate, per, burst } = limit;
    const bucket = key === undefined ? this.#keyless ??= { tokens: burst, at: now } : this.#of(key, limit, now);
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.at) * rate / per);
    bucket.at = now;
    if (bucket.tokens < 1 - ROUNDING) return (1 - bucket.tokens) * per / rate;
    bucket.tokens--;
    return undefined;
  }

  #of(key: string, { rate, per, burst }: TokenLimit, now: number): TokenBucket {
    // after the time in which an empty bucket gets full, all buckets of the old generation are full
    const isOver = this.#young.size >= this.#most / 2 || this.#length >= MAX_LENGTH / 2 ||
      now - this.#since >= burst * per / rate;
    if (isOver) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#length = 0;
      this.#since = now;
    }
    let bucket = this.#young.get(key);
    if (bucket !== undefined) return bucket;
    bucket = this.#old.get(key) ?? { tokens: burst, at: now };
    this.#young.set(key, bucket);
    this.#length += key.length;
    return bucket;
  }
}

/**
 * Tolerance, in tokens, for rounding errors in sums of times: without it, a sender that has waited for the returned
 * time may be refused for 1 ms more. In the long run no more messages pass, because each takes a whole token.
 */
const ROUNDING = 1e-4;
/** Maximum number of keys whose buckets are kept. */
const MAX_KEYS = 100_000;
/** Maximum length of all kept keys together, in characters, besides the last one of each generation. */
const MAX_LENGTH = 16 * 1_048_576;
