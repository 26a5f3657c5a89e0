/** So many messages in a while, and no more: a token bucket. */
import type { Behavior } from "../contract/behavior.ts";
import { checkKnown, checkNumber } from "../contract/checks.ts";
import { fail } from "../contract/result.ts";

/** Options of {@link rateLimit}. */
export interface RateLimitOptions {
  /** How many messages pass in `per` ms, in the long run: more than 0, 1,000,000,000 at most. */
  rate: number;
  /** In ms, more than 0; 1,000. */
  per?: number;
  /** How many may pass at once after a pause, 1 at least; `rate`, or 1 when that is less. */
  burst?: number;
}

/**
 * Lets so many messages pass in a while, and refuses the others at once, without running their handler: `RATE_LIMITED`, which
 * is `retryable` and says in `details.retryAfter` after how many ms one would pass. Refused ones do not wait, for they would
 * hold places that others could use; and do not go to another node, for this is the handler's answer. An event that is
 * refused is lost, and logged.
 *
 * The tokens are this process's own. Given to an app, all of its handlers draw from one bucket; given to a handler, it has
 * its own.
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
    return fail("RATE_LIMITED", `${kind} ${name} did not run on node ${ctx.node}: ${rate} in ${per} ms pass`, {
      retryable: true,
      details: { retryAfter },
    });
  };
}

const OPTIONS: ReadonlySet<string> = new Set<keyof RateLimitOptions>(["rate", "per", "burst"]);
