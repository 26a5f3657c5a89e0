/**
 * The options of steps, and the times of sleeps and waits, checked.
 */
import type { StepOptions } from "../contract/flow.ts";
import { checkDelay, checkFunction, checkInteger, checkKnown, checkNumber, MAX_TIMEOUT } from "../data/checks.ts";

/** The attempts that follow a failed one. */
export interface StepRetry {
  readonly attempts: number;
  readonly delay: readonly [first: number, longest: number];
}

export function timeOf(until: number | Date, now: number): number {
  return typeof until === "number" ? now + until : until.getTime();
}

export function checkUntil(at: string, until: number | Date): void {
  if (until instanceof Date && !Number.isNaN(until.getTime())) return;
  checkNumber(at, until as number, 0, LONGEST_WAIT, "ms");
}

export function checkStep(at: string, options: StepOptions<never>): void {
  checkKnown(at, options, STEP_OPTIONS);
  const { undo, retry, timeout } = options;
  if (undo !== undefined) checkFunction(`${at}: undo`, undo);
  if (timeout !== undefined) checkNumber(`${at}: timeout`, timeout, 1, MAX_TIMEOUT, "ms");
  if (retry === undefined) return;
  checkKnown(`${at}: retry`, retry, RETRY_OPTIONS);
  if (retry.attempts !== undefined) checkInteger(`${at}: retry.attempts`, retry.attempts, 1, 1_000_000);
  if (retry.delay !== undefined) {
    checkDelay(at, retry.delay, MAX_TIMEOUT);
  }
}

const STEP_OPTIONS = new Set(["undo", "retry", "timeout"]);
const RETRY_OPTIONS = new Set(["attempts", "delay"]);

/** How long a run stays on its node while it only waits, in ms; what takes longer is a schedule. */
export const HOLD = 5_000;
const LONGEST_WAIT = 3_660 * 86_400_000; // ms
