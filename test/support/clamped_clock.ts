import type { Clock } from "../../src/ports/clock.ts";

/** A clock whose timers fire after 24.8 days at most, as those of `setTimeout`. */
export function clampedClock(clock: Clock): Clock {
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    soon: (callback) => clock.soon(callback),
    after: (ms, callback) => clock.after(Math.min(ms, 2_147_483_647), callback),
  };
}
