/** `timeout()`: a time limit for a handler, below the timeout of its senders. */
import type { Behavior } from "../contract/behavior.ts";
import { checkNumber, MAX_TIMEOUT } from "../data/checks.ts";
import type { Abortable } from "../contract/context.ts";
import { CatgaError } from "../error.ts";

/**
 * Aborts a message after its handler, with the behaviors inside of this one, has run for `ms` (1 to 2^31 - 1), as its deadline
 * would: `ctx.signal` aborts with `TIMEOUT`, the handler's sends are cancelled, its waits for locks end, and no attempt of
 * `retry()` follows. A sender in this process gets the failure at once: `TIMEOUT` of a query, `OUTCOME_UNKNOWN` of a command;
 * `UNAVAILABLE` if a behavior inside has not called the handler, which then does not run. A sender elsewhere gets its result
 * when the handler has ended, or fails at its own deadline.
 *
 * A handler that ignores `ctx.signal` cannot be stopped: it goes on, and keeps its place and its locks until it has ended.
 * What it returns then is the result for a sender elsewhere, and the recorded result of an idempotent command.
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
    // every context of a handler is Abortable
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
