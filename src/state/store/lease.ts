/**
 * How long something written with a ttl may be relied on by who wrote it: one margin less than the ttl, counted from before
 * the write was sent, by the clock that is further on. So it ends here before it can end in the store.
 */
import type { Clock, Timer } from "../../ports/clock.ts";

/** A moment, by both clocks. */
export interface Stamp {
  readonly wall: number;
  readonly monotonic: number;
}

/** Now. */
export function stamp(clock: Clock): Stamp {
  return { wall: clock.now(), monotonic: clock.monotonic() };
}

/** How many ms have gone by since: by the wall clock after a machine slept, by the monotonic one when the wall was put back. */
export function elapsed(clock: Clock, since: Stamp): number {
  return Math.max(clock.now() - since.wall, clock.monotonic() - since.monotonic);
}

/** How long before the end of a ttl its holder stops, in ms: 1 s, or a third of a short ttl. */
export function margin(ttl: number): number {
  return Math.min(1_000, ttl / 3);
}

/** How many ms a ttl that was written at `since` may still be relied on; 0 or less when no longer. */
export function left(clock: Clock, since: Stamp, ttl: number): number {
  return ttl - margin(ttl) - elapsed(clock, since);
}

/** What has to be looked at when a clock jumps: timers do not notice that a machine slept. */
export interface Leased {
  /** Ends what has come to its end. */
  check(): void;
}

/** Looks after leases for as long as there are some: one timer for all of them. */
export class JumpWatch {
  readonly #clock: Clock;
  readonly #leased = new Set<Leased>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(leased: Leased): void {
    this.#leased.add(leased);
    if (this.#timer === undefined) this.#look(stamp(this.#clock));
  }

  delete(leased: Leased): void {
    this.#leased.delete(leased);
  }

  #look(last: Stamp): void {
    const due = this.#clock.monotonic() + LOOK;
    this.#timer = this.#clock.after(LOOK, () => {
      this.#timer = undefined;
      if (this.#leased.size === 0) return;
      const now = stamp(this.#clock);
      const apart = now.wall - last.wall - (now.monotonic - last.monotonic);
      // after a pause this timer is one of the first to run: renewals are due later
      const stoodStill = now.monotonic - due > LATE;
      if (apart > JUMP || stoodStill) { for (const leased of [...this.#leased]) leased.check(); }
      // a slow drift adds up
      this.#look(Math.abs(apart) > JUMP ? now : last);
    }, { background: true });
  }
}

const LOOK = 250; // ms
const JUMP = 50; // ms that the wall clock may gain unnoticed
const LATE = 250; // ms that a look may be late before the process is said to have stood still
