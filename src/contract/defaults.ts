/**
 * The defaults of times and counts that the docs promise, in ms unless a comment says otherwise. `node/app_options.ts`
 * has the other defaults of `catga()`.
 */

/** Timeout of a send, retries included. */
export const TIMEOUT = 30_000;
/** Number of further attempts of a send after the first. */
export const RETRIES = 3;
/** Time that a drain waits for running handlers. */
export const DRAIN_TIMEOUT = 30_000;
/** Retention of the result of an idempotent command: a day. */
export const RESULT_TTL = 86_400_000;
/** Retention of a durable message, and of a workflow's run after its end: 7 days. */
export const KEEP = 7 * 86_400_000;
/** Retry of a durable message: number of attempts, and the first and longest pause between them. */
export const DEFAULT_RETRY: { readonly attempts: number; readonly delay: readonly [first: number, longest: number] } =
  Object.freeze({ attempts: 10, delay: Object.freeze([1_000, 300_000] as const) });
/** The first and the longest pause between the attempts of a workflow's step. */
export const STEP_PAUSES: readonly [first: number, longest: number] = Object.freeze([1_000, 3_600_000] as const);
/** Ttl of a lock or a leadership: after this time without a sign of life of its holder, another node gets it. */
export const LOCK_TTL = 10_000;
/** Time that `lock` waits for a lock. */
export const LOCK_TIMEOUT = 30_000;
/** Time that a reader of a stream waits for an item. */
export const IDLE = 30_000;
/** How far the handler of a stream may be ahead of its reader: in items, and in bytes. */
export const WINDOW: { readonly items: number; readonly bytes: number } = Object.freeze({
  items: 256,
  bytes: 1_048_576,
});
/** Maximum number of messages of a `sendAll` under way at once. */
export const SEND_ALL_CONCURRENCY = 512;
/** Ttl of a membership record. */
export const HEARTBEAT = 30_000;
/** Maximum number of handlers that run at once for other nodes. */
export const CONCURRENCY = 1_024;
