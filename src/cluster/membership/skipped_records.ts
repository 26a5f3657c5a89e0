/**
 * Counts the node records that this node has ignored because there were too many, and reports the counts at most once a
 * minute, so that a flood of records causes one log line a minute.
 */
import type { Observer } from "../../contract/observer.ts";
import type { Clock } from "../../ports/clock.ts";
import { OnceAMinute } from "../../ports/once_a_minute.ts";

/** Counts node records whose nodes did not become members, because there were too many records or members. */
export class SkippedRecords {
  readonly #reports: OnceAMinute;
  readonly #observer: Observer;
  #unproven = 0;
  #members = 0;

  constructor(clock: Clock, observer: Observer) {
    this.#reports = new OnceAMinute(clock);
    this.#observer = observer;
  }

  /**
   * Counts an ignored record. `unproven`: newer records displaced it before its node answered a ping; `members`:
   * there were too many members.
   */
  add(why: "unproven" | "members"): void {
    if (why === "unproven") this.#unproven++;
    else this.#members++;
    if (!this.#reports.due()) return;
    this.#observer({ type: "crowded", unproven: this.#unproven, members: this.#members });
    this.#unproven = this.#members = 0;
  }
}
