/**
 * How long a process may rely on an entry that it wrote with a ttl: one margin less than the ttl, counted from before the
 * write was sent, by whichever clock is further on. So a lease ends in this process before its entry can expire in the store.
 */
import { type Clock, elapsed, type Stamp, stamp, type Timer } from "../../ports/clock.ts";

/** How long before the end of its ttl a lease ends, in ms: 1 s, or a third of a ttl below 3 s. */
export function margin(ttl: number): number {
  return Math.min(1_000, ttl / 3);
}

/** Ms that are left of the lease of an entry whose write was sent at `since`; 0 or less once it has ended. */
export function left(clock: Clock, since: Stamp, ttl: number): number {
  return ttl - margin(ttl) - elapsed(clock, since);
}

/** A holder of a lease, which is checked when a clock jumps: timers do not notice that a machine slept. */
export interface Leased {
  /** Loses the lease if it has ended. */
  check(): void;
}

/** Checks all leases of a node when the wall clock jumps ahead. One timer for all of them, and none without a lease. */
export class JumpWatch {
  readonly #clock: Clock;
  readonly #leased = new Set<Leased>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(leased: Leased): void {
    this.#leased.add(leased);
    if (this.#timer === undefined) this.#compareLater(stamp(this.#clock));
  }

  delete(leased: Leased): void {
    this.#leased.delete(leased);
  }

  #compareLater(last: Stamp): void {
    const due = this.#clock.monotonic() + INTERVAL;
    this.#timer = this.#clock.after(INTERVAL, () => {
      this.#timer = undefined;
      if (this.#leased.size === 0) return;
      const now = stamp(this.#clock);
      const gained = now.wall - last.wall - (now.monotonic - last.monotonic);
      // after a pause this timer is one of the first to run: renewals are due later
      const stoodStill = now.monotonic - due > LATE;
      if (gained > JUMP || stoodStill) { for (const leased of [...this.#leased]) leased.check(); }
      // without a jump `last` stays, so that a slow drift adds up to one
      this.#compareLater(Math.abs(gained) > JUMP ? now : last);
    }, { background: true });
  }
}

const INTERVAL = 250; // ms
const JUMP = 50; // ms that the wall clock may gain before leases are checked
const LATE = 250; // ms that the timer may be late before the process is said to have stood still
