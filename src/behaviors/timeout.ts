/** Less time for a handler than its senders give it. */
import type { Behavior } from "../contract/behavior.ts";
import type { Abortable } from "../contract/context.ts";
import { CatgaError } from "../error.ts";
import { checkNumber, MAX_TIMEOUT } from "../contract/checks.ts";

/**
 * Gives a message up that has been with its handler, and the behaviors within, for `ms` (1 to 2^31 - 1), as its deadline
 * would: `ctx.signal` aborts with `TIMEOUT`, what the handler has sent is cancelled, its waiting for locks ends, and no
 * attempt of `retry()` follows. A sender in this process is told at once (`TIMEOUT` of a query, `OUTCOME_UNKNOWN` of a command;
 * `UNAVAILABLE` when a behavior within had not called the handler, which then is not called); one elsewhere when the handler
 * has ended, or at its own deadline.
 *
 * Nothing can stop a handler that does not listen to `ctx.signal`: it goes on, and keeps its place and its locks until it
 * has ended. What it gives then is what a sender elsewhere gets, and the result of an idempotent command.
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
    // every context is one
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
