/** The demo's verdict: pure functions of the results that callers got and the orders on disk. */

/** The result of an order, as its caller got it. */
export interface Told {
  /** The id of its message. */
  readonly messageId: string;
  /** `ok`, or the error's code. */
  readonly code: string;
  /** What its handler answered; only when `ok`. */
  readonly orderId?: string | undefined;
}

/** What a handler wrote down before it answered. */
export interface Written {
  readonly messageId: string;
  readonly orderId: string;
}

/** What comes out when the two are laid side by side. */
export interface Audit {
  readonly succeeded: number;
  /** Callers that were told `OUTCOME_UNKNOWN`, */
  readonly unknown: number;
  /** and how many of their orders had run. */
  readonly unknownRan: number;
  /** How many failed in another way, by code. */
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

/** The codes that promise that a message did not run. */
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
