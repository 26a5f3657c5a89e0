/** The pause before the next attempt: exponential, with full jitter. */
import type { Random } from "../../ports/clock.ts";

/**
 * How long to wait after `attempts` failed ones (1 or more), in ms: drawn evenly from 0 to `first × 2^(attempts - 1)`, or to `longest` when
 * that is less. So messages that failed at once are not tried again at once.
 */
export function pauseAfter(attempts: number, [first, longest]: readonly [number, number], random: Random): number {
  return random() * Math.min(longest, first * 2 ** Math.min(attempts - 1, 64));
}
