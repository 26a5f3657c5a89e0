/** Messages that wait in memory for their next attempt. */
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Item } from "./item.ts";

/** The messages that wait. */
export class Waiting {
  readonly #clock: Clock;
  readonly #onDue: (item: Item) => void;
  readonly #timers = new Map<Timer, readonly [item: Item, due: number]>();

  constructor(clock: Clock, onDue: (item: Item) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#timers.size;
  }

  /** Calls back with a message after `ms`. */
  add(item: Item, ms: number): void {
    // not in the background: a process in memory does not end before the next attempt
    const timer = this.#clock.after(ms, () => {
      this.#timers.delete(timer);
      this.#onDue(item);
    });
    this.#timers.set(timer, [item, this.#clock.monotonic() + ms]);
  }

  /** Items that wait, and when their pause ends, by the monotonic clock. */
  get items(): Iterable<readonly [item: Item, due: number]> {
    return this.#timers.values();
  }

  /** Calls back no more. */
  close(): void {
    for (const timer of this.#timers.keys()) timer.cancel();
    this.#timers.clear();
  }
}
