import type { Clock, Timer } from "../../ports/clock.ts";
import type { Observer } from "../../contract/observer.ts";

/** Counts the events that found no room, and tells of each contract's at once and then once a minute: one for a node. */
export class DroppedEvents {
  readonly #clock: Clock;
  readonly #observer: Observer;
  /** Contracts of which it told less than a minute ago. */
  readonly #told: Map<string, Untold> = new Map();

  constructor(clock: Clock, observer: Observer) {
    this.#clock = clock;
    this.#observer = observer;
  }

  add(contract: string): void {
    const untold = this.#told.get(contract);
    if (untold !== undefined) untold.count++;
    else this.#tell(contract, 1);
  }

  /** Tells of those that have come since the last time. */
  report(): void {
    for (const [contract, { count, timer }] of this.#told) {
      timer.cancel();
      if (count > 0) this.#observer({ type: "event-dropped", contract, count });
    }
    this.#told.clear();
  }

  #tell(contract: string, count: number): void {
    // however many more there are, nobody is to wait for the next one to hear of them
    const timer = this.#clock.after(60_000, () => this.#again(contract), { background: true });
    this.#told.set(contract, { count: 0, timer });
    this.#observer({ type: "event-dropped", contract, count });
  }

  #again(contract: string): void {
    const { count } = this.#told.get(contract)!;
    this.#told.delete(contract);
    if (count > 0) this.#tell(contract, count);
  }
}

/** Those of one contract since it was last told of. */
interface Untold {
  count: number;
  readonly timer: Timer;
}
