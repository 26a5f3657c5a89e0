/** A subscription of nats.js that can be ended at any time, and that is made again after the server has ended it. */
import type { Msg, Subscription as NatsSubscription } from "@nats-io/nats-core";
import { doubled, type Timer } from "../ports/clock.ts";
import type { Subscription, Transport } from "../ports/transport.ts";

/** Callbacks of a subscription. */
export interface SubscriptionCallbacks {
  receive(message: Msg): void;
  /** Called when the server has ended the subscription, because the NATS user lacks the permission. */
  forbidden?(error: Error): void;
  /** Called when a subscription that the server had ended exists again. */
  allowed?(): void;
}

/** Dependencies of a {@link SubscriptionHandle} on its transport. */
interface SubscriptionHandleOptions extends Omit<SubscriptionCallbacks, "receive"> {
  readonly optional: boolean;
  subscribe(): NatsSubscription;
  /** Called when the subscription has ended; perhaps twice. */
  ended(): void;
}

/**
 * A subscription of nats.js that can be ended in any state of its connection without an error. If the server ends it
 * for lack of a permission (which a reload of the server's configuration may restore), it is made again at a
 * reconnect, when another subscription is allowed again, and, unless it is optional, after pauses that grow from 1 s
 * to 30 s.
 */
export class SubscriptionHandle implements Subscription {
  readonly subject: string;
  readonly #transport: Pick<Transport, "clock" | "flush">;
  readonly #options: SubscriptionHandleOptions;
  #subscription: NatsSubscription;
  #draining: Promise<void> | undefined;
  #ended = false;
  /** True from the moment at which the server has ended the subscription until it certainly exists again. */
  forbidden = false;
  #timer: Timer | undefined;
  /** Number of times that the server has ended the subscription since it last existed. */
  #failures = 0;

  constructor(
    transport: Pick<Transport, "clock" | "flush">,
    subject: string,
    options: SubscriptionHandleOptions,
  ) {
    this.#transport = transport;
    this.subject = subject;
    this.#options = options;
    this.#subscription = options.subscribe();
  }

  /**
   * Makes the subscription again after a pause. Call when the server has ended it for lack of a permission, which
   * nats.js reports twice.
   */
  forbid(error: Error): void {
    if (this.#ended || this.#timer !== undefined) return;
    this.forbidden = true;
    this.#options.forbidden?.(error);
    if (this.#options.optional) return;
    const pause = doubled(this.#failures++, FIRST_PAUSE, LONGEST_PAUSE);
    this.#timer = this.#transport.clock.after(pause, () => this.again(), { background: true });
  }

  /** Makes the subscription again now, if the server has ended it for lack of a permission. */
  again(): void {
    if (!this.forbidden || this.#ended) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    let made: NatsSubscription;
    try {
      this.#unsubscribe();
      made = this.#subscription = this.#options.subscribe();
    } catch {
      // the connection drains: no new subscription is possible
      return;
    }
    // if the server denied the subscription, its report would come before its answer to this flush
    this.#transport.flush().then(() => {
      if (made !== this.#subscription || made.isClosed()) return;
      this.forbidden = false;
      this.#failures = 0;
      this.#options.allowed?.();
    }, () => {
      // the connection was lost: the subscription is made again at the reconnect
    });
  }

  drain(): Promise<void> {
    return this.#draining ??= this.#drain();
  }

  async #drain(): Promise<void> {
    this.#end();
    try {
      if (!this.#subscription.isClosed()) await this.#subscription.drain();
    } catch {
      // the connection was closed during the drain: nothing is left to deliver
    } finally {
      this.#options.ended();
    }
  }

  close(): void {
    this.#end();
    this.#options.ended();
    this.#unsubscribe();
  }

  #end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #unsubscribe(): void {
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }
}

/** First pause before a subscription is made again, in ms; `LONGEST_PAUSE`: longest pause. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;
