/**
 * A clock whose timers can all be stopped and started again, for an unused store in memory, or a frozen process. Time
 * goes on while the timers are stopped.
 */
import { OverClock, type Timer } from "./clock.ts";

interface RestingTimer {
  /** Time at which the timer is due, by the monotonic clock. */
  readonly due: number;
  readonly options: { background?: boolean | undefined } | undefined;
  fire(): void;
  /** Timer of the other clock; `undefined` while the timers are stopped. */
  timer: Timer | undefined;
}

/** A clock that has the time of another clock, and whose timers can all be stopped and started again. */
export class RestingClock extends OverClock {
  /** Timers that have not fired, in the order in which they were set. */
  readonly #timers = new Set<RestingTimer>();
  #resting = false;

  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer {
    const entry: RestingTimer = {
      due: this.clock.monotonic() + ms,
      options,
      fire: () => {
        this.#timers.delete(entry);
        callback();
      },
      timer: undefined,
    };
    this.#timers.add(entry);
    if (!this.#resting) entry.timer = this.clock.after(ms, entry.fire, options);
    return {
      cancel: () => {
        this.#timers.delete(entry);
        entry.timer?.cancel();
      },
    };
  }

  /** Stops all timers, until {@link RestingClock.wake} starts them again. */
  rest(): void {
    this.#resting = true;
    for (const entry of this.#timers) {
      entry.timer?.cancel();
      entry.timer = undefined;
    }
  }

  /** Starts the timers again; overdue ones fire at once. */
  wake(): void {
    this.#resting = false;
    const now = this.clock.monotonic();
    for (const entry of this.#timers) {
      entry.timer ??= this.clock.after(Math.max(0, entry.due - now), entry.fire, entry.options);
    }
  }
}
