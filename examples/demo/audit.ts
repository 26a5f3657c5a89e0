/** The demo's verdict: pure functions of the results that callers got and the orders on disk. */

/** The result of an order, as its caller got it. */
export interface Told {
  /** Id of the order's message. */
  readonly messageId: string;
  /** `ok`, or the error's code. */
  readonly code: string;
  /** Id that the handler returned; only if the code is `ok`. */
  readonly orderId?: string | undefined;
}

/** An order that a handler stored before it answered. */
export interface Written {
  readonly messageId: string;
  readonly orderId: string;
}

/** Result of the comparison of callers' results with stored orders. */
export interface Audit {
  readonly succeeded: number;
  /** Number of callers that got `OUTCOME_UNKNOWN`. */
  readonly unknown: number;
  /** Number of their orders that had run. */
  readonly unknownRan: number;
  /** Number of orders that failed in another way, by code. */
  readonly failed: ReadonlyMap<string, number>;
  /** Orders that failed as certainly not run, and had run: their message ids. Must be empty. */
  readonly failedRan: readonly string[];
  /** Message ids of orders that were acknowledged and are not on disk. Must be empty. */
  readonly lost: readonly string[];
  /** Orders that ran more than once: their message ids. Must be empty. */
  readonly twice: readonly string[];
}

/** Compares the results that callers got with the orders on disk. */
export function audit(told: readonly Told[], written: readonly Written[]): Audit {
  const orderIds = new Set(written.map(({ orderId }) => orderId));
  const runs = tally(written, ({ messageId }) => messageId);
  const ok = told.filter(({ code }) => code === "ok");
  const unknown = told.filter(({ code }) => code === "OUTCOME_UNKNOWN");
  const failed = told.filter(({ code }) => code !== "ok" && code !== "OUTCOME_UNKNOWN");
  return {
    succeeded: ok.length,
    unknown: unknown.length,
    unknownRan: unknown.filter(({ messageId }) => runs.has(messageId)).length,
    failed: tally(failed, ({ code }) => code),
    failedRan: failed.filter(({ code, messageId }) => NOT_RUN.has(code) && runs.has(messageId)).map(idOf),
    lost: ok.filter(({ orderId }) => orderId === undefined || !orderIds.has(orderId)).map(idOf),
    twice: [...runs].filter(([, count]) => count > 1).map(([messageId]) => messageId),
  };
}

/** Error codes of messages that certainly did not run. */
const NOT_RUN: ReadonlySet<string> = new Set(["UNAVAILABLE", "NO_HANDLER", "OVERLOADED", "DRAINING"]);

/**
 * The smallest of the values that at least `percent` of them do not exceed (nearest rank); `NaN` of none.
 */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * percent / 100) - 1)] ?? NaN;
}

/** The middle value, or the mean of the two in the middle; `NaN` of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function idOf({ messageId }: Told): string {
  return messageId;
}

function tally<T>(items: readonly T[], key: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
