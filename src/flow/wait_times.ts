/** The times of sleeps and waits, and the limit above which a schedule ends them. */
import { checkNumber } from "../data/checks.ts";

/** Returns the end of a sleep or a wait, in ms since 1970. */
export function timeOf(until: number | Date, now: number): number {
  return typeof until === "number" ? now + until : until.getTime();
}

/** Throws if `until` is neither a number of ms from now nor a valid date. */
export function checkUntil(at: string, until: number | Date): void {
  if (until instanceof Date && !Number.isNaN(until.getTime())) return;
  checkNumber(at, until as number, 0, LONGEST_WAIT, "ms");
}

/** Longest wait during which a run stays on its node, in ms; a schedule ends a longer wait. */
export const HOLD = 5_000;
const LONGEST_WAIT = 3_660 * 86_400_000; // ms
