/** Limits reports to one a minute for each key. */
import type { Clock } from "./clock.ts";

/**
 * Lets a report through at once, and the next report with the same key not before a minute (or another interval) has
 * passed.
 */
export class OnceAMinute {
  readonly #clock: Pick<Clock, "monotonic">;
  /** By key: time of the last report that was let through, by the monotonic clock. */
  readonly #at = new Map<string, number>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /**
   * Returns true if a report with this key may be made now; then the interval to the next report begins. `every`:
   * minimum interval between two reports, in ms.
   */
  due(about = "", every = 60_000): boolean {
    const now = this.#clock.monotonic();
    if (now - (this.#at.get(about) ?? -Infinity) < every) return false;
    if (this.#at.size >= MAX_REPORTED) this.#at.clear();
    this.#at.set(about, now);
    return true;
  }
}

const MAX_REPORTED = 256;
