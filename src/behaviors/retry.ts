/** `retry()`: runs a handler again, on the same node, after a failure that may pass. */
import type { Behavior } from "../contract/behavior.ts";
import { delay } from "../ports/clock.ts";
import type { CatgaError, Code } from "../error.ts";
import { checkInteger, checkKnown, checkNumber, MAX_TIMEOUT, show } from "../data/checks.ts";

/** Options of {@link retry}. */
export interface RetryOptions {
  /** How often the handler runs at most, including the first time: 2 to 1,000; 3. */
  attempts?: number | undefined;
  /** After which failures it runs again: codes, or a function. `HANDLER_FAILED`, and whatever is `retryable`. */
  on?: readonly Code[] | ((error: CatgaError) => boolean) | undefined;
  /**
   * The pause before the second attempt is drawn from 0 to this, in ms: 0 to 2^31 - 1; for each further attempt from twice as
   * much. 10.
   */
  backoff?: number | undefined;
}

/**
 * Runs a failed handler again, within the deadline of its message: it repeats what it did before it failed. Returns the last
 * failure when its attempts are used up, when the next one would start after the deadline, and when the message is aborted. A
 * failure that is `final` is never retried.
 *
 * The `retries` of a send repeat messages that did not arrive; without this behavior, a handler's answer is never retried.
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
export function retry(options: RetryOptions = {}): Behavior {
  checkKnown("retry", options, OPTIONS);
  const { attempts = 3, on = mayPass, backoff = 10 } = options;
  checkInteger("retry: attempts", attempts, 2, 1_000);
  checkNumber("retry: backoff", backoff, 0, MAX_TIMEOUT, "ms");
  if (typeof on !== "function" && !(Array.isArray(on) && on.every((code) => typeof code === "string"))) {
    throw new TypeError(`retry: on must be an array of codes, or a function; got ${show(on)}`);
  }
  const retries = (error: CatgaError): boolean =>
    !error.final && (typeof on === "function" ? on(error) : on.includes(error.code));
  return async ({ ctx, clock, random }, next) => {
    for (let attempt = 1;; attempt++) {
      const result = await next();
      if (result.ok || attempt === attempts || !retries(result.error)) return result;
      const pause = random() * Math.min(MAX_TIMEOUT, backoff * 2 ** (attempt - 1));
      if (clock.now() + pause >= ctx.deadline) return result;
      try {
        await delay(clock, pause, ctx.signal);
      } catch { // the message was aborted: no sender waits for another attempt
        return result;
      }
    }
  };
}

function mayPass({ retryable, code }: CatgaError): boolean {
  return retryable || code === "HANDLER_FAILED";
}

const OPTIONS: ReadonlySet<string> = new Set<keyof RetryOptions>(["attempts", "on", "backoff"]);
