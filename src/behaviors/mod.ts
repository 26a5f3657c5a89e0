/**
 * Behaviors to wrap around handlers, for `catga({ behaviors })` and `Contract.handle(fn, { behaviors })`. The app's
 * behaviors come first, outermost first, then the handler's own.
 *
 * @example
 * ```ts
 * import { catga, query } from "@catga/catga";
 * import { logging, metrics, rateLimit, retry, timeout, tracing } from "@catga/catga/behaviors";
 *
 * const Price = query<{ sku: string }, number>("Price");
 * const price = Price.handle(() => 420, { behaviors: [rateLimit({ rate: 100 }), timeout(1_000), retry({ attempts: 2 })] });
 * await using app = await catga({ handlers: price, behaviors: [tracing(), metrics(), logging()] });
 * console.log((await app.send(Price, { sku: "tea" })).value); // 420
 * ```
 *
 * @decides exports of the entrypoint `/behaviors`
 *
 * @module
 */

export { logging } from "./logging.ts";
export { metrics } from "./metrics.ts";
export { rateLimit } from "./rate_limit.ts";
export { retry } from "./retry.ts";
export { timeout } from "./timeout.ts";
export { tracing } from "./tracing.ts";
export type { Observation } from "../contract/nodes/observer.ts";
export type { LoggingOptions } from "./logging.ts";
export type { RateLimitOptions } from "./rate_limit.ts";
export type { RetryBehaviorOptions } from "./retry.ts";
