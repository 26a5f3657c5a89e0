/** `retry()`: runs a handler again, on the same node, after a temporary failure. */
import type { Behavior } from "../contract/behavior.ts";
import { delay, doubled } from "../ports/clock.ts";
import { CatgaError, type Code } from "../error.ts";
import { checkInteger, checkKnown, checkNumber, isStringArray, MAX_TIMEOUT, show, TEN_YEARS } from "../data/checks.ts";
import type { Abortable } from "../contract/context.ts";
import { fail } from "../contract/result.ts";

/** Options of {@link retry}, the behavior that runs a failed handler again. */
export interface RetryBehaviorOptions {
  /** Maximum number of runs of the handler, including the first: 2 to 1,000. Default: 3. */
  attempts?: number | undefined;
  /**
   * Failures after which the handler runs again: a list of codes, or a function of the error, which may be async.
   * Default: `HANDLER_FAILED`, and failures that are `retryable`.
   */
  on?: readonly Code[] | ((error: CatgaError) => boolean | Promise<boolean>) | undefined;
  /**
   * Maximum pause before the second attempt, in ms: 0 to 2^31 - 1; it doubles for each further attempt. Each pause is
   * random, from 0 to its maximum. Default: 10.
   */
  backoff?: number | undefined;
}

/**
 * Runs a failed handler again, within the deadline of its message. Effects that the handler had before it failed happen
 * again; locks that it took with `ctx.lock` are released, so that it can take them again. Returns the last failure when
 * the attempts are used up, when the next attempt would start after the deadline, and when the message is aborted. A
 * failure that is `final` is never retried, nor is a failure of a stream after its first item.
 *
 * The `retries` of a send repeat messages that did not arrive; without this behavior, a handler's answer is never
 * retried.
 *
 * @example
 * ```ts
 * import { catga, command, fail } from "@catga/catga";
 * import { retry } from "@catga/catga/behaviors";
 *
 * const Charge = command<{ cents: number }, string>("Charge");
 * let calls = 0;
 * const charge = Charge.handle(() => ++calls < 3 ? fail("BANK_BUSY", "try again") : "charged", {
 *   behaviors: [retry({ attempts: 5, on: ["BANK_BUSY"] })],
 * });
 * await using app = await catga({ handlers: charge });
 * console.log((await app.send(Charge, { cents: 420 })).value, calls); // charged 3
 * ```
 */
export function retry(options: RetryBehaviorOptions = {}): Behavior {
  checkKnown("retry", options, OPTIONS);
  const { attempts = 3, on = mayPass, backoff = 10 } = options;
  checkInteger("retry: attempts", attempts, 2, 1_000);
  checkNumber("retry: backoff", backoff, 0, MAX_TIMEOUT, "ms");
  if (typeof on !== "function" && !isStringArray(on)) {
    throw new TypeError(`retry: on must be an array of codes, or a function; got ${show(on)}`);
  }
  const retries = (error: CatgaError): boolean | Promise<boolean> =>
    !error.final && (typeof on === "function" ? on(error) : on.includes(error.code));
  return async ({ ctx, clock, random }, next) => {
    for (let attempt = 1;; attempt++) {
      // the cast is safe, because the context of every handler is `Abortable`
      const releaseLocks = (ctx as typeof ctx & Abortable).lockScope();
      const result = await next();
      if (result.ok || attempt === attempts || !await retries(result.error)) return result;
      const pause = random() * doubled(attempt - 1, backoff, MAX_TIMEOUT);
      if (clock.now() + pause >= ctx.deadline) return result;
      try {
        await Promise.all([releaseLocks(), delay(clock, pause, ctx.signal)]);
      } catch { // the message was aborted, so no sender waits for another attempt
        return result;
      }
      if (ctx.signal.aborted) return result; // the message was aborted while the locks were released
    }
  };
}

function mayPass({ retryable, code }: CatgaError): boolean {
  return retryable || code === "HANDLER_FAILED";
}

const OPTIONS: ReadonlySet<string> = new Set<keyof RetryBehaviorOptions>(["attempts", "on", "backoff"]);

// `timeout()`: a time limit for a handler, shorter than the timeout of its senders.

/**
 * Limits the time of a handler, together with the behaviors inside of this one, to `ms` (1 to 2^31 - 1). Then the
 * message is aborted as by its deadline: `ctx.signal` aborts with `TIMEOUT`, the handler's sends are cancelled, its
 * waits for locks end, and no attempt of `retry()` follows. A sender in this process gets the failure at once:
 * `TIMEOUT` of a query, `OUTCOME_UNKNOWN` of a command; `UNAVAILABLE` if a behavior inside has not called the handler,
 * which then does not run. A sender in another process gets its result when the handler has ended, or fails at its own
 * deadline.
 *
 * A handler that ignores `ctx.signal` cannot be stopped: it continues, counts for `concurrency`, and keeps its locks
 * until it has ended. Its late result is the result for a sender in another process, and the recorded result of an
 * idempotent command.
 *
 * @example
 * ```ts
 * import { catga, query } from "@catga/catga";
 * import { timeout } from "@catga/catga/behaviors";
 *
 * const Slow = query<void, string>("Slow");
 * const slow = Slow.handle(
 *   (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
 *   { behaviors: [timeout(20)] },
 * );
 * await using app = await catga({ handlers: slow });
 * console.log((await app.send(Slow)).error?.code); // TIMEOUT
 * ```
 */
export function timeout(ms: number): Behavior {
  checkNumber("timeout: ms", ms, 1, MAX_TIMEOUT, "ms");
  return async ({ contract: { kind, name }, ctx, clock }, next) => {
    // the cast is safe, because the context of every handler is `Abortable`
    const message = ctx as typeof ctx & Abortable;
    const timer = clock.after(ms, () => {
      message.abort(new CatgaError("TIMEOUT", `${kind} ${name} was to be handled within ${ms} ms`, { node: ctx.node }));
    });
    try {
      return await next();
    } finally {
      timer.cancel();
    }
  };
}

// `rateLimit()`: a limit of messages per time, by a token bucket.

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
 * has its own.
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
  checkKnown("rateLimit", options, RATE_LIMIT_OPTIONS);
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
    tokens = Math.min(burst, tokens + Math.max(0, now - at) * rate / per);
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

/**
 * Tolerance, in tokens, for rounding errors in sums of times: without it, a sender that has waited for `retryAfter` may
 * be refused for 1 ms more. In the long run no more messages pass, because each takes a whole token.
 */
const ROUNDING = 1e-4;

const RATE_LIMIT_OPTIONS: ReadonlySet<string> = new Set<keyof RateLimitOptions>(["rate", "per", "burst"]);
