/** `timeout()`: a time limit for a handler, shorter than the timeout of its senders. */
import { type Behavior, markMaker } from "../contract/declaration/behavior.ts";
import type { Abortable } from "../contract/calls/context.ts";
import { checkNumber, MAX_TIMEOUT } from "../data/checks.ts";
import { CatgaError } from "../error.ts";

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
markMaker(timeout);
