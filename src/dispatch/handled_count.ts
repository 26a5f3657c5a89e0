/**
 * Number of messages that were handled for a subscription, or skipped, reported once a second, and only while a
 * behavior observes the app.
 */
import type { Observer } from "../contract/nodes/observer.ts";
import type { Clock, Timer } from "../ports/clock.ts";

/** The parts of a node that a {@link HandledCount}, the count of a subscription's handled messages, uses. */
interface HandledCountHost {
  readonly clock: Clock;
  readonly observer: Observer;
  /** `watched`: true if a behavior gets the observations that are not logged. */
  readonly hooks: { readonly watched: boolean };
}

/** Counts the messages of one subscription that were handled, or skipped, as far as this node saw it. */
export class HandledCount {
  readonly #host: HandledCountHost;
  readonly #subscription: string;
  readonly #type: "handled" | "skipped";
  /** Number of these messages by contract, since the last observation. */
  readonly #counts = new Map<string, number>();
  #timer: Timer | undefined;

  /** `subscription`: the subscription's label in observations, `<service>/<name>`. */
  constructor(host: HandledCountHost, subscription: string, type: "handled" | "skipped" = "handled") {
    this.#type = type;
    this.#host = host;
    this.#subscription = subscription;
  }

  /** Counts a message of this contract. */
  add(contract: string): void {
    this.#counts.set(contract, (this.#counts.get(contract) ?? 0) + 1);
    this.#timer ??= this.#host.clock.after(COUNT_INTERVAL, () => this.flush(), { background: true });
  }

  /** Reports the counts at once, before the interval is over. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { hooks: { watched }, observer } = this.#host;
    if (watched) {
      for (const [contract, count] of this.#counts) {
        observer({ type: this.#type, subscription: this.#subscription, contract, count });
      }
    }
    this.#counts.clear();
  }
}

const COUNT_INTERVAL = 1_000; // ms between two observations
