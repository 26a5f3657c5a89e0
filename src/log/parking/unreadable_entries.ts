/** Entries that cannot be read: reported at once, and then once a minute. They stay as they are. */
import { printable } from "../../data/printable.ts";
import { CatgaError } from "../../error.ts";
import type { Clock } from "../../ports/clock.ts";

/** The reports of one leader. */
export class UnreadableEntries {
  readonly #clock: Clock;
  readonly #fault: (error: unknown) => void;
  #since = 0;
  #next = -Infinity;

  constructor(clock: Clock, fault: (error: unknown) => void) {
    this.#clock = clock;
    this.#fault = fault;
  }

  report(key: string, why: string): void {
    this.#since++;
    const now = this.#clock.monotonic();
    if (now < this.#next) return;
    this.#next = now + INTERVAL;
    const others = this.#since === 1 ? "" : `, and ${this.#since - 1} others`;
    this.#since = 0;
    const text = `what is parked under ${
      printable(key.slice(0, 200))
    } cannot be read (${why})${others}: it is left alone`;
    this.#fault(new CatgaError("INVALID_MESSAGE", text));
  }
}

/** Between reports, in ms. */
const INTERVAL = 60_000;
