/** Limits reports to one a minute for each key. */
import type { Clock } from "./clock.ts";

/**
 * Lets a report through at once, and the next report with the same key a minute (or another time) later at the
 * earliest.
 */
export class OnceAMinute {
  readonly #clock: Pick<Clock, "monotonic">;
  /** Time of the last report by key, by the monotonic clock. */
  readonly #at = new Map<string, number>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Returns true if a report with this key is due now, and then counts as made. `every`: minimum interval, in ms. */
  due(about = "", every = 60_000): boolean {
    const now = this.#clock.monotonic();
    if (now - (this.#at.get(about) ?? -Infinity) < every) return false;
    if (this.#at.size >= MOST_REPORTED) this.#at.clear();
    this.#at.set(about, now);
    return true;
  }
}

const MOST_REPORTED = 256;
