/** What numbers of others have to be. */

/** Whether a value is a whole number from 0 on, small enough to be exact. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether a value is a number from 0 on, and finite: a time in ms, say. */
export function isNotNegative(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
