/**
 * The defaults of times and counts that the docs promise, in ms unless a comment says otherwise. `node/app_options.ts`
 * has the other defaults of `catga()`.
 */

/**
 * Default timeout of a send, retries included.
 * @decides default timeouts, retries, ttls, and how long messages are kept
 */
export const TIMEOUT = 30_000;
/** Default number of further attempts of a send after the first. */
export const RETRIES = 3;
/** Default time that a drain (an orderly shutdown) waits for running handlers. */
export const DRAIN_TIMEOUT = 30_000;
/** How long the result of an idempotent command is kept by default: a day. */
export const RESULT_TTL = 86_400_000;
/** How long a durable message is kept by default, and a workflow's run after its end: 7 days. */
export const KEEP = 7 * 86_400_000;
/** Default retry of a durable message: number of attempts, and the first and longest pause between them. */
export const DEFAULT_RETRY: { readonly attempts: number; readonly delay: readonly [first: number, longest: number] } =
  Object.freeze({ attempts: 10, delay: Object.freeze([1_000, 300_000] as const) });
/** Default pauses between the attempts of a workflow's step: the first and the longest. */
export const STEP_PAUSES: readonly [first: number, longest: number] = Object.freeze([1_000, 3_600_000] as const);
/** Default ttl of a lock or a leadership: when its holder has not renewed it for this time, another node can get it. */
export const LOCK_TTL = 10_000;
/** Default time that `lock` waits for a lock. */
export const LOCK_TIMEOUT = 30_000;
/** Default time that a reader of a stream waits for an item. */
export const IDLE = 30_000;
/** Default maximum of a stream's items that were sent and not read yet: in items, and in bytes. */
export const WINDOW: { readonly items: number; readonly bytes: number } = Object.freeze({
  items: 256,
  bytes: 1_048_576,
});
/** Default maximum number of messages of one `sendAll` that are in progress at once. */
export const SEND_ALL_CONCURRENCY = 512;
/** Default ttl of the record by which a node is known to its cluster. */
export const HEARTBEAT = 30_000;
/** Default maximum number of handlers that run at once for other nodes. */
export const CONCURRENCY = 1_024;
