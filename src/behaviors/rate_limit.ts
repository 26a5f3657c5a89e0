/** `rateLimit()`: a limit of messages per time, by a token bucket. */
import { type Behavior, type BehaviorMessage, markMaker } from "../contract/behavior.ts";
import { fail } from "../contract/result.ts";
import { checkFunction, checkKnown, checkNumber, show, TEN_YEARS } from "../data/checks.ts";

/** Options of {@link rateLimit}, the behavior that limits the number of messages per time. */
export interface RateLimitOptions {
  /**
   * Number of messages that pass in `per` ms, on average: more than 0, at most 1,000,000,000, and at least one in ten
   * years.
   */
  rate: number;
  /** Period to which `rate` refers, in ms, more than 0. Default: 1,000. */
  per?: number | undefined;
  /** Number of messages that may pass at once after a pause, at least 1. Default: `rate`, or 1 if `rate` is less. */
  burst?: number | undefined;
  /**
   * Returns the key of a message, such as its tenant: the messages of each key have a limit of their own. Messages for
   * which it returns `undefined` share one. If it throws, or returns something else, the message fails with
   * `HANDLER_FAILED`. Default: all messages share one limit.
   */
  key?: ((message: BehaviorMessage) => string | undefined) | undefined;
}

/**
 * Lets messages pass at a limited rate, and refuses the others at once, without running their handler: `RATE_LIMITED`,
 * which is `retryable`; `details.retryAfter` is the time in ms after which a message would pass. A refused message does
 * not wait, because it would take the place of another message at the handler; and it does not go to another node,
 * because the refusal is the handler's answer. A refused event is lost, and logged, unless it is durable; a refused
 * durable message is tried again later, and the refusal does not count as an attempt.
 *
 * The behavior's type names its code: a contract that declares failures has to declare `RATE_LIMITED`, too.
 *
 * The bucket is in this process. Given to an app, all of its handlers share one bucket; given to a handler, the handler
 * has its own. With `key` each key has its own bucket; it is kept at least until it is full again, or 50,000 other
 * keys, or 8 Mi characters of keys, came after it: then its key may have a burst again. The callers of an HTTP edge are
 * limited by its options `limit` and `identify`, too.
 *
 * @example
 * ```ts
 * import { catga, query } from "@catga/catga";
 * import { rateLimit } from "@catga/catga/behaviors";
 *
 * const Search = query<string, number>("Search");
 * const search = Search.handle((text) => text.length, { behaviors: [rateLimit({ rate: 2, per: 60_000 })] });
 * await using app = await catga({ handlers: search });
 * const results = await app.sendAll(Search, ["tea", "cup", "pot"]);
 * console.log(results.map(({ value, error }) => value ?? error?.code)); // [ 3, 3, "RATE_LIMITED" ]
 * ```
 */
export function rateLimit(options: RateLimitOptions): Behavior<"RATE_LIMITED"> {
  checkKnown("rateLimit", options, OPTIONS);
  const { rate, per = 1_000 } = options;
  checkNumber("rateLimit: rate", rate, Number.MIN_VALUE, 1_000_000_000);
  checkNumber("rateLimit: per", per, Number.MIN_VALUE, Number.MAX_VALUE, "ms");
  checkNumber("rateLimit: per / rate", per / rate, 0, TEN_YEARS, "ms");
  const { burst = Math.max(1, rate) } = options;
  checkNumber("rateLimit: burst", burst, 1, 1_000_000_000);
  const { key } = options;
  if (key !== undefined) checkFunction("rateLimit: key", key, "a function of the message that returns its key");
  const shared: KeyBucket = { tokens: burst, at: -Infinity };
  const buckets = key && new KeyBuckets(burst, per / rate);
  return (message, next) => {
    const { contract: { kind, name }, ctx, clock } = message;
    const now = clock.monotonic();
    const own = key?.(message);
    if (own !== undefined && typeof own !== "string") {
      throw new TypeError(`rateLimit: key must return a string or undefined; got ${show(own)}`);
    }
    const bucket = own === undefined || buckets === undefined ? shared : buckets.of(own, now);
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.at) * rate / per);
    bucket.at = now;
    if (bucket.tokens >= 1 - ROUNDING) {
      bucket.tokens--;
      return next();
    }
    const retryAfter = Math.ceil((1 - bucket.tokens) * per / rate);
    const limit = own === undefined ? "the limit" : "the limit of its key";
    return fail("RATE_LIMITED", `${kind} ${name} did not run on node ${ctx.node}: ${limit} is ${rate} in ${per} ms`, {
      retryable: true,
      details: { retryAfter },
    });
  };
}
markMaker(rateLimit);

/**
 * Tolerance, in tokens, for rounding errors in sums of times: without it, a sender that has waited for `retryAfter` may
 * be refused for 1 ms more. In the long run no more messages pass, because each takes a whole token.
 */
const ROUNDING = 1e-4;

/** A token bucket: a message takes a token. */
interface KeyBucket {
  /** Number of tokens at the time `at`. */
  tokens: number;
  /** Time at which `tokens` was computed, by the monotonic clock. */
  at: number;
}

/**
 * The buckets of keys, in two generations: when the young one is large or old enough, it replaces the old one. A map in
 * the order of last use would take 35 µs for each key beyond its maximum: V8 passes over the removed entries at the
 * front of a map at each look at its first entry (measured, Deno 2.9).
 */
class KeyBuckets {
  readonly #burst: number;
  /** Time in which an empty bucket gets full, in ms. */
  readonly #filling: number;
  #young = new Map<string, KeyBucket>();
  #old = new Map<string, KeyBucket>();
  /** Length of the keys of the young generation, in characters. */
  #length = 0;
  /** Time at which the young generation began, by the monotonic clock. */
  #since = -Infinity;

  constructor(burst: number, interval: number) {
    this.#burst = burst;
    this.#filling = burst * interval;
  }

  /** Returns the bucket of a key; a key without one gets a full one. */
  of(key: string, now: number): KeyBucket {
    // after the time of filling, all buckets of the old generation are full
    const isOver = this.#young.size >= MAX_KEYS / 2 || this.#length >= MAX_LENGTH / 2 ||
      now - this.#since >= this.#filling;
    if (isOver) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#length = 0;
      this.#since = now;
    }
    let bucket = this.#young.get(key);
    if (bucket !== undefined) return bucket;
    bucket = this.#old.get(key) ?? { tokens: this.#burst, at: now };
    this.#young.set(key, bucket);
    this.#length += key.length;
    return bucket;
  }
}

/** Maximum number of keys whose buckets are kept. */
const MAX_KEYS = 100_000;
/** Maximum length of all kept keys together, in characters, besides the last one of each generation. */
const MAX_LENGTH = 16 * 1_048_576;

const OPTIONS: ReadonlySet<string> = new Set<keyof RateLimitOptions>(["rate", "per", "burst", "key"]);
