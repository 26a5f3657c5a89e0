/** Has a handler another go, on its own node, when it failed in a way that may pass. */
import type { Behavior } from "../contract/behavior.ts";
import { delay } from "../ports/clock.ts";
import type { CatgaError, Code } from "../error.ts";
import { checkInteger, checkKnown, checkNumber, MAX_TIMEOUT, show } from "../contract/checks.ts";

/** Options of {@link retry}. */
export interface RetryOptions {
  /** How often the handler runs at most, the first time included: 2 to 1,000; 3. */
  attempts?: number;
  /** After which failures: codes, or a function. What the handler threw (`HANDLER_FAILED`), and what is `retryable`. */
  on?: readonly Code[] | ((error: CatgaError) => boolean);
  /**
   * The pause before the second attempt is drawn from 0 to this, in ms: 0 to 2^31 - 1; for each further attempt from twice as
   * much. 10.
   */
  backoff?: number;
}

/**
 * Runs a handler again that failed, within the deadline of its message: what it did before it failed, it does again. Gives
 * the last failure when its attempts are used up, when the next would come after the deadline, and when the message is given
 * up. A failure that is `final` is never retried.
 *
 * Catga's own `retries` are about messages that did not arrive; what a handler answers is never retried without this.
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
  if (typeof on !== "function" && !Array.isArray(on)) {
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
      } catch { // it was given up: nobody waits for another attempt
        return result;
      }
    }
  };
}

function mayPass({ retryable, code }: CatgaError): boolean {
  return retryable || code === "HANDLER_FAILED";
}

const OPTIONS: ReadonlySet<string> = new Set<keyof RetryOptions>(["attempts", "on", "backoff"]);
