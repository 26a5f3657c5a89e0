/** `rateLimit()`: a limit of messages per time, by a token bucket. */
import { type Behavior, markMaker } from "../contract/behavior.ts";
import { fail } from "../contract/result.ts";
import { checkKnown, checkNumber, TEN_YEARS } from "../data/checks.ts";

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
 * has its own. For a bucket for each tenant, call one such behavior for each tenant from a behavior of your own; the
 * callers of an HTTP edge are limited by its options `limit` and `identify`.
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
  let tokens = burst;
  let at = -Infinity;
  return ({ contract: { kind, name }, ctx, clock }, next) => {
    const now = clock.monotonic();
    tokens = Math.min(burst, tokens + (now - at) * rate / per);
    at = now;
    if (tokens >= 1 - ROUNDING) {
      tokens--;
      return next();
    }
    const retryAfter = Math.ceil((1 - tokens) * per / rate);
    return fail("RATE_LIMITED", `${kind} ${name} did not run on node ${ctx.node}: the limit is ${rate} in ${per} ms`, {
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

const OPTIONS: ReadonlySet<string> = new Set<keyof RateLimitOptions>(["rate", "per", "burst"]);
