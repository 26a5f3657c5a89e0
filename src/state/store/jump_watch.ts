/**
 * Checks the leases of locks, or of claims, when the wall clock jumps ahead, as after the machine slept: timers do not
 * notice it. The leases of subscriptions and of runs are not among them.
 */
import { type Clock, type Stamp, stamp, type Timer } from "../../ports/clock.ts";

/** A lease, which is checked when a clock jumps: timers do not notice that a machine slept. */
export interface Leased {
  /** Loses the lease if it has ended. */
  check(): void;
}

/** Checks its leases when the wall clock jumps ahead: one timer for all of them, and none without a lease. */
export class JumpWatch {
  readonly #clock: Clock;
  readonly #leased = new Set<Leased>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call when the node stops: the timer ends with the last lease. */
  close(): void {
    this.#closed = true;
    this.#rest();
  }

  add(leased: Leased): void {
    this.#leased.add(leased);
    if (this.#timer === undefined) this.#compareLater(stamp(this.#clock));
  }

  delete(leased: Leased): void {
    this.#leased.delete(leased);
    if (this.#closed) this.#rest();
  }

  #rest(): void {
    if (this.#leased.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #compareLater(last: Stamp): void {
    const due = this.#clock.monotonic() + CHECK_INTERVAL;
    this.#timer = this.#clock.after(CHECK_INTERVAL, () => {
      this.#timer = undefined;
      if (this.#leased.size === 0) return;
      const now = stamp(this.#clock);
      const gained = now.wall - last.wall - (now.monotonic - last.monotonic);
      // after a pause this timer is one of the first to run: renewals are due later
      const stoodStill = now.monotonic - due > STANDSTILL;
      if (gained > MAX_GAIN || stoodStill) { for (const leased of [...this.#leased]) leased.check(); }
      // without a jump `last` stays unchanged, so that a slow drift adds up to a jump
      this.#compareLater(Math.abs(gained) > MAX_GAIN ? now : last);
    }, { background: true });
  }
}

const CHECK_INTERVAL = 250; // ms
const MAX_GAIN = 50; // ms that the wall clock may gain before leases are checked
const STANDSTILL = 250; // ms that the timer may be late before the process is said to have stood still
