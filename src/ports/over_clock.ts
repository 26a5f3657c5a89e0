/** Base of clocks over another clock: with its time, and timers set in ways of their own. */
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
