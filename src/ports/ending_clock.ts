/** A clock whose timers end when the node that they belong to ends. */
import type { ClockWithEnd, Timer } from "./clock.ts";
import { OverClock } from "./over_clock.ts";

/**
 * A clock for one node, with the time of another clock. When the node ends, {@link EndingClock.end} cancels the
 * background timers, and no further background timer is set; a `delay` or `within` ends at once, because its caller
 * then finds everything closed. Other timers continue.
 */
export class EndingClock extends OverClock implements ClockWithEnd {
  readonly #background = new Set<Timer>();
  readonly #waits = new Set<() => void>();
  #ended = false;

  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer {
    if (!options?.background) return this.clock.after(ms, callback, options);
    if (this.#ended) return NO_TIMER;
    const timer = this.clock.after(ms, () => {
      this.#background.delete(timer);
      callback();
    }, options);
    this.#background.add(timer);
    return {
      cancel: () => {
        this.#background.delete(timer);
        timer.cancel();
      },
    };
  }

  afterOrAtEnd(ms: number, callback: () => void): Timer {
    const timer = this.clock.after(ms, () => {
      this.#waits.delete(atEnd);
      callback();
    });
    const atEnd = () => {
      timer.cancel();
      callback();
    };
    this.#waits.add(atEnd);
    return {
      cancel: () => {
        this.#waits.delete(atEnd);
        timer.cancel();
      },
    };
  }

  /** Ends the timers of the node: cancels background timers, and ends waits. */
  end(): void {
    this.#ended = true;
    for (const timer of this.#background) timer.cancel();
    this.#background.clear();
    const waits = [...this.#waits];
    this.#waits.clear();
    for (const atEnd of waits) atEnd();
  }
}

const NO_TIMER: Timer = { cancel: () => {} };
