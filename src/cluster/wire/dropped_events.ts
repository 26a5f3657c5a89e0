/** Events that were dropped because too many waited: counted by contract, and reported at once and then once a minute. */
import type { Observer } from "../../contract/observer.ts";
import type { Clock, Timer } from "../../ports/clock.ts";

/** The count of one node. */
export class DroppedEvents {
  readonly #clock: Clock;
  readonly #observer: Observer;
  /** Contracts that were reported less than a minute ago. */
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

  /** Reports those since the last report. */
  report(): void {
    for (const [contract, { count, timer }] of this.#reported) {
      timer.cancel();
      if (count > 0) this.#observer({ type: "event-dropped", contract, count });
    }
    this.#reported.clear();
  }

  #report(contract: string, count: number): void {
    // the rest is reported although no other may follow
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

/** The events of one contract since its last report. */
interface Unreported {
  count: number;
  readonly timer: Timer;
}
