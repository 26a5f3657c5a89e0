/** The times of sleeps and waits, and which of them are schedules. */
import { checkNumber } from "../data/checks.ts";

/** When a sleep or a wait ends, in ms since 1970. */
export function timeOf(until: number | Date, now: number): number {
  return typeof until === "number" ? now + until : until.getTime();
}

/** Throws if it is no time: a number of ms from now, or a date. */
export function checkUntil(at: string, until: number | Date): void {
  if (until instanceof Date && !Number.isNaN(until.getTime())) return;
  checkNumber(at, until as number, 0, LONGEST_WAIT, "ms");
}

/** How long a run stays on its node while it only waits, in ms; what takes longer is a schedule. */
export const HOLD = 5_000;
const LONGEST_WAIT = 3_660 * 86_400_000; // ms
