/** `rateLimit()`: a token bucket. */
import type { Behavior } from "../contract/behavior.ts";
import { checkKnown, checkNumber } from "../data/checks.ts";
import { fail } from "../contract/result.ts";

/** Options of {@link rateLimit}. */
export interface RateLimitOptions {
  /** How many messages pass in `per` ms, on average: more than 0, 1,000,000,000 at most. */
  rate: number;
  /** In ms, more than 0; 1,000. */
  per?: number | undefined;
  /** How many may pass at once after a pause, 1 at least; `rate`, or 1 when that is less. */
  burst?: number | undefined;
}

/**
 * Lets messages pass at a limited rate, and refuses the others at once, without running their handler: `RATE_LIMITED`, which is
 * `retryable`; `details.retryAfter` is the time in ms after which a message would pass. Refused messages do not wait, for they
 * would hold places of others; and they do not go to another node, for this is the handler's answer. A refused event is lost,
 * and logged.
 *
 * The bucket is in this process. Given to an app, all of its handlers share one bucket; given to a handler, the handler has its
 * own.
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
export function rateLimit(options: RateLimitOptions): Behavior {
  checkKnown("rateLimit", options, OPTIONS);
  const { rate, per = 1_000 } = options;
  checkNumber("rateLimit: rate", rate, Number.MIN_VALUE, 1_000_000_000);
  checkNumber("rateLimit: per", per, Number.MIN_VALUE, Number.MAX_VALUE, "ms");
  const { burst = Math.max(1, rate) } = options;
  checkNumber("rateLimit: burst", burst, 1, 1_000_000_000);
  let tokens = burst;
  let at = -Infinity;
  return ({ contract: { kind, name }, ctx, clock }, next) => {
    const now = clock.monotonic();
    tokens = Math.min(burst, tokens + Math.max(0, now - at) * rate / per);
    at = now;
    if (tokens >= 1) {
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

const OPTIONS: ReadonlySet<string> = new Set<keyof RateLimitOptions>(["rate", "per", "burst"]);
