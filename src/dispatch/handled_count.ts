/** How many messages were handled for a subscription: observed once a second, and only while somebody looks. */
import type { Observer } from "../contract/observer.ts";
import type { Clock, Timer } from "../ports/clock.ts";

/** What a {@link HandledCount} needs of its node. */
export interface HandledCountHost {
  readonly clock: Clock;
  readonly observer: Observer;
  /** Whether anybody observes what is not logged. */
  readonly watched: boolean;
}

/** The messages of one subscription that this node saw handled. */
export class HandledCount {
  readonly #host: HandledCountHost;
  readonly #subscription: string;
  /** By contract, since the last observation. */
  readonly #counts = new Map<string, number>();
  #timer: Timer | undefined;

  /** `subscription`: for observations, `<service>/<name>`. */
  constructor(host: HandledCountHost, subscription: string) {
    this.#host = host;
    this.#subscription = subscription;
  }

  /** A message of this contract was handled. */
  add(contract: string): void {
    this.#counts.set(contract, (this.#counts.get(contract) ?? 0) + 1);
    this.#timer ??= this.#host.clock.after(PAUSE, () => this.flush(), { background: true });
  }

  /** Observes what was counted, before the pause is over. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { watched, observer } = this.#host;
    if (watched) {
      for (const [contract, count] of this.#counts) {
        observer({ type: "handled", subscription: this.#subscription, contract, count });
      }
    }
    this.#counts.clear();
  }
}

const PAUSE = 1_000; // ms
