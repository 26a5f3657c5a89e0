/** `retry()`: runs a handler again, on the same node, after a temporary failure. */
import { type Behavior, markMaker } from "../contract/declaration/behavior.ts";
import { delay, doubled } from "../ports/clock.ts";
import type { CatgaError, Code } from "../error.ts";
import { checkInteger, checkKnown, checkNumber, isStringArray, MAX_TIMEOUT, show } from "../data/checks.ts";
import type { Abortable } from "../contract/calls/context.ts";

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
markMaker(retry);

function mayPass({ retryable, code }: CatgaError): boolean {
  return retryable || code === "HANDLER_FAILED";
}

const OPTIONS: ReadonlySet<string> = new Set<keyof RetryBehaviorOptions>(["attempts", "on", "backoff"]);
