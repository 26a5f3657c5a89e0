/**
 * What holds where a program says nothing: the defaults of times and counts that the docs promise. In ms, unless a line
 * says otherwise. Those of `catga()` that are no numbers are in `node/app_options.ts`.
 */

/** A send, its retries included, and how many further attempts it has. */
export const TIMEOUT = 30_000;
export const RETRIES = 3;
/** A handler that runs, at a drain. */
export const DRAIN_TIMEOUT = 30_000;
/** The result of an idempotent command is kept for a day. */
export const RESULT_TTL = 86_400_000;
/** A durable message, and a run of a workflow after its end, are kept for 7 days. */
export const KEEP = 7 * 86_400_000;
/** Attempts of a durable message that fails, and the first and longest pause between them. */
export const DEFAULT_RETRY: { readonly attempts: number; readonly delay: readonly [first: number, longest: number] } =
  Object.freeze({ attempts: 10, delay: Object.freeze([1_000, 300_000] as const) });
/** The first and the longest pause between the attempts of a workflow's step. */
export const STEP_PAUSES: readonly [first: number, longest: number] = Object.freeze([1_000, 3_600_000] as const);
/** A lock, or what is led: after so long without a sign of life another node has it. */
export const LOCK_TTL = 10_000;
/** How long a lock is waited for. */
export const LOCK_TIMEOUT = 30_000;
/** How long a reader of a stream waits for an item. */
export const IDLE = 30_000;
/** How far the handler of a stream may be ahead of its reader: in items, and in bytes. */
export const WINDOW: { readonly items: number; readonly bytes: number } = Object.freeze({
  items: 256,
  bytes: 1_048_576,
});
/** Messages of a `sendAll` that are under way at once. */
export const SEND_ALL_CONCURRENCY = 512;
/** Ttl of a membership record. */
export const HEARTBEAT = 30_000;
/** Handlers that run at once for other nodes. */
export const CONCURRENCY = 1_024;
