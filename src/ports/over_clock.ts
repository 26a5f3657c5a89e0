/** Base class of clocks that have the time of another clock, and set their timers in their own way. */
import type { Clock, Timer } from "./clock.ts";

/** A clock that has the time of another clock. */
export abstract class OverClock implements Clock {
  /** The other clock, which has the time. */
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
