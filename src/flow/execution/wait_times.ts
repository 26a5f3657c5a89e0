/** The times of sleeps and waits of a run, and the duration above which a schedule ends them. */
import { checkNumber } from "../../data/checks.ts";

/** Returns the time at which a sleep or a wait ends, in ms since 1970. */
export function timeOf(until: number | Date, now: number): number {
  return typeof until === "number" ? now + until : until.getTime();
}

/** Throws if `until` is neither a number of ms from now nor a valid date. */
export function checkUntil(at: string, until: number | Date): void {
  if (until instanceof Date && !Number.isNaN(until.getTime())) return;
  checkNumber(at, until as number, 0, LONGEST_WAIT, "ms");
}

/**
 * Longest sleep or wait, in ms, that a timer of the node ends; a schedule ends a longer one, and the run is suspended.
 * @decides a sleep or wait this short stays a timer of the process; a longer one is a stored schedule
 */
export const HOLD = 5_000;
const LONGEST_WAIT = 3_660 * 86_400_000; // ms: ten years, the longest sleep or wait
