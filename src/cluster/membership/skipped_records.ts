/**
 * Counts the records that this node ignored because there were too many, and reports them at most once a minute: a flood of
 * records is one line in the log.
 */
import type { Observer } from "../../contract/observer.ts";
import type { Clock } from "../../ports/clock.ts";

/** The records that made no member. */
export class SkippedRecords {
  readonly #clock: Clock;
  readonly #observer: Observer;
  #unproven = 0;
  #members = 0;
  #reportedAt = -Infinity;

  constructor(clock: Clock, observer: Observer) {
    this.#clock = clock;
    this.#observer = observer;
  }

  /** `unproven`: newer records displaced it before its node answered; `members`: the view is full. */
  add(why: "unproven" | "members"): void {
    if (why === "unproven") this.#unproven++;
    else this.#members++;
    const now = this.#clock.monotonic();
    if (now - this.#reportedAt < REPORT_EVERY) return;
    this.#reportedAt = now;
    this.#observer({ type: "crowded", unproven: this.#unproven, members: this.#members });
    this.#unproven = this.#members = 0;
  }
}

const REPORT_EVERY = 60_000; // ms
