/**
 * Counts events that were dropped because too many waited. They are reported by contract: at once, and then once a
 * minute.
 */
import type { Observer } from "../../contract/observer.ts";
import type { Clock, Timer } from "../../ports/clock.ts";

/** Counts the events that one node has dropped. */
export class DroppedEvents {
  readonly #clock: Clock;
  readonly #observer: Observer;
  /**
   * Contracts whose dropped events were reported less than a minute ago, with the number of events dropped since that
   * report.
   */
  readonly #reported: Map<string, Unreported> = new Map();

  constructor(clock: Clock, observer: Observer) {
    this.#clock = clock;
    this.#observer = observer;
  }

  add(contract: string): void {
    const unreported = this.#reported.get(contract);
    if (unreported !== undefined) unreported.count++;
    else this.#report(contract, 1);
  }

  /** Reports the events dropped since the last report. */
  report(): void {
    for (const [contract, { count, timer }] of this.#reported) {
      timer.cancel();
      if (count > 0) this.#observer({ type: "event-dropped", contract, count });
    }
    this.#reported.clear();
  }

  #report(contract: string, count: number): void {
    // after a minute the events dropped since are reported, even if no further event is dropped
    const timer = this.#clock.after(60_000, () => this.#endMinute(contract), { background: true });
    this.#reported.set(contract, { count: 0, timer });
    this.#observer({ type: "event-dropped", contract, count });
  }

  #endMinute(contract: string): void {
    const { count } = this.#reported.get(contract)!;
    this.#reported.delete(contract);
    if (count > 0) this.#report(contract, count);
  }
}

/** Number of dropped events of one contract since they were last reported. */
interface Unreported {
  count: number;
  readonly timer: Timer;
}
