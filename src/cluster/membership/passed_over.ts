import type { Clock } from "../../ports/clock.ts";
import type { Observer } from "../../contract/observer.ts";

/** Counts the records that make no members, and tells of them once a minute at most: a flood of them is one line. */
export class PassedOver {
  readonly #clock: Clock;
  readonly #observer: Observer;
  #unproven = 0;
  #members = 0;
  #told = -Infinity;

  constructor(clock: Clock, observer: Observer) {
    this.#clock = clock;
    this.#observer = observer;
  }

  /** `unproven`: of a node that did not answer yet, for newer ones came; `members`: the view is full. */
  add(why: "unproven" | "members"): void {
    if (why === "unproven") this.#unproven++;
    else this.#members++;
    const now = this.#clock.monotonic();
    if (now - this.#told < AGAIN) return;
    this.#told = now;
    this.#observer({ type: "crowded", unproven: this.#unproven, members: this.#members });
    this.#unproven = this.#members = 0;
  }
}

const AGAIN = 60_000; // ms
