/** Reports of one kind, by key, once a minute at most. */
import type { Clock } from "./clock.ts";

/** Lets a report through at once, and the next one about the same a minute later at the earliest, or another time. */
export class OnceAMinute {
  readonly #clock: Pick<Clock, "monotonic">;
  /** When each was let through, by the monotonic clock. */
  readonly #at = new Map<string, number>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Returns whether to report it now; `every`: after so many ms again. */
  due(about = "", every = 60_000): boolean {
    const now = this.#clock.monotonic();
    if (now - (this.#at.get(about) ?? -Infinity) < every) return false;
    if (this.#at.size >= MOST_REPORTED) this.#at.clear();
    this.#at.set(about, now);
    return true;
  }
}

const MOST_REPORTED = 256;
