/** Clocks over another clock: they tell its time, and set its timers in ways of their own. */
import type { Clock, Timer } from "./clock.ts";

/** A clock with the time of another one. */
export abstract class OverClock implements Clock {
  /** The clock below. */
  protected readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  now(): number {
    return this.clock.now();
  }

  monotonic(): number {
    return this.clock.monotonic();
  }

  soon(callback: () => void): void {
    this.clock.soon(callback);
  }

  abstract after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer;
}
