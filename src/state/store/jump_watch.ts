/**
 * Checks the leases of locks, or of claims, when the wall clock jumps ahead, as after the machine slept: timers do
 * not notice that. (Leases of subscriptions and of workflow runs are checked elsewhere.)
 */
import { type Clock, type Stamp, stamp, type Timer } from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";

/** A lease that must be checked when a clock jumps, because timers do not notice that a machine slept. */
export interface Leased {
  /** Gives the lease up if it has ended. */
  check(): void;
}

/**
 * Checks all given leases when the wall clock jumps ahead. One timer serves all leases; while there is no lease, no
 * timer is set.
 */
export class JumpWatch {
  readonly #clock: Clock;
  readonly #leased = new Set<Leased>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lets the timer end with the last lease. Call when the node stops. */
  close(): void {
    this.#closed = true;
    this.#stopIfIdle();
  }

  add(leased: Leased): void {
    this.#leased.add(leased);
    if (this.#timer === undefined) this.#compareLater(stamp(this.#clock));
  }

  delete(leased: Leased): void {
    this.#leased.delete(leased);
    if (this.#closed) this.#stopIfIdle();
  }

  #stopIfIdle(): void {
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
      // after a pause of the process this timer is one of the first to run: renewals follow later
      if (gained > MAX_GAIN || stoodStill(now.monotonic, due)) {
        for (const leased of [...this.#leased]) leased.check();
      }
      // `last` stays the time of the last jump, so that many small gains of a drifting clock add up to a jump
      this.#compareLater(Math.abs(gained) > MAX_GAIN ? now : last);
    }, { background: true });
  }
}

const CHECK_INTERVAL = 250; // ms
const MAX_GAIN = 50; // ms by which the wall clock may run ahead of the monotonic clock before leases are checked
