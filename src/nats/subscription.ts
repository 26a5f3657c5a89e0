/** The subscriptions of the transport, which may be ended at any time. */
import type { Subscription as NatsSubscription } from "@nats-io/nats-core";
import type { Subscription } from "../ports/transport.ts";

/** A subscription of nats.js that can be ended in any state of its connection, without an error. */
export class SubscriptionHandle implements Subscription {
  readonly #subscription: NatsSubscription;
  readonly #onEnd: () => void;
  #draining: Promise<void> | undefined;

  /** Wraps a subscription. `onEnd` is called when it ends, possibly twice. */
  constructor(subscription: NatsSubscription, onEnd: () => void) {
    this.#subscription = subscription;
    this.#onEnd = onEnd;
  }

  drain(): Promise<void> {
    return this.#draining ??= this.#drain();
  }

  async #drain(): Promise<void> {
    try {
      if (!this.#subscription.isClosed()) await this.#subscription.drain();
    } catch {
      // closed meanwhile: nothing is left to deliver
    } finally {
      this.#onEnd();
    }
  }

  close(): void {
    this.#onEnd();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }
}
