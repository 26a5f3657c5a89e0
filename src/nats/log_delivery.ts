/**
 * Receives the messages that one consumer of a stream delivers: in order, without gaps, until the delivery breaks.
 * Ordered consumers of `@nats-io/jetstream` lose messages, or are silent for long: docs/internals/packages.md, rows
 * `ordered-pull` and `ordered-push`.
 */
import type { Msg, MsgHdrs, Subscription } from "@nats-io/nats-core";
import { DeliveryPosition } from "./delivery_position.ts";
import type { OwnedStream } from "./owned_stream.ts";
import { SilenceWatch } from "./silence.ts";
import type { NatsTransport } from "./transport.ts";

/** The callbacks of a {@link LogDelivery}, which must not throw. */
interface DeliveryListener {
  onMessage(message: Msg, sequence: number, time: number): void;
  /**
   * Called when the server asks for an empty message on the subject `reply` (flow control). `stalled`: true if it sends
   * nothing before it gets that; false: it goes on for a while.
   */
  onFlow(reply: string, stalled: boolean): void;
  /** Called when the consumer has nothing left to deliver up to this sequence of the stream. */
  onIdle(sequence: number): void;
  /** Called once, when all messages that existed when the consumer was made have arrived. */
  onCaughtUp(): void;
  /** Called once, after all other callbacks, when the delivery has ended by itself. */
  onBroken(why: string): void;
}

/** The consumer of a {@link LogDelivery}. */
interface DeliveringConsumer {
  readonly stream: Pick<OwnedStream, "name" | "heartbeat">;
  readonly name: string;
  readonly inbox: string;
  /**
   * Number of messages that the consumer had to deliver when it was made; `undefined`: it is not made yet, and the
   * delivery keeps its messages back until {@link LogDelivery.begin}.
   */
  readonly expected: number | undefined;
}

/** Receives the messages that a consumer of a stream delivers, and ends when one is missing or the server is silent. */
export class LogDelivery {
  /** Number of messages that the delivery has received. */
  received = 0;
  readonly #listener: DeliveryListener;
  readonly #position: DeliveryPosition;
  readonly #subscription: Subscription;
  readonly #silence: SilenceWatch;
  /** Number of messages that existed when the consumer was made; `Infinity` once all of them have arrived. */
  #expected = Infinity;
  /** The messages that have arrived before {@link LogDelivery.begin}; `undefined` after it. */
  #early: Msg[] | undefined = [];
  #ended = false;

  /** Subscribes to the consumer's inbox, before or after the consumer is made. */
  constructor(transport: NatsTransport, consumer: DeliveringConsumer, listener: DeliveryListener) {
    this.#listener = listener;
    this.#position = new DeliveryPosition(consumer.stream.name, consumer.name);
    this.#silence = new SilenceWatch(
      transport.clock,
      consumer.stream.heartbeat,
      (ms) => this.#break(`no message or heartbeat for ${ms} ms`),
    );
    this.#subscription = transport.listen(consumer.inbox, (error, message) => {
      if (error) return this.#break(error.message);
      if (this.#early === undefined) this.#take(message);
      else this.#early.push(message);
    });
    if (consumer.expected !== undefined) this.begin(consumer.expected);
  }

  /**
   * Passes on the messages that have arrived so far, and then each one as it arrives. Called when the consumer is made;
   * `expected`: number of messages that the consumer had to deliver at that time.
   */
  begin(expected: number): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    if (expected > 0) this.#expected = expected;
    for (const message of early) this.#take(message);
  }

  /** Ends the delivery; `onBroken` is not called. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#silence.close();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }

  #take(message: Msg): void {
    try {
      this.#receive(message);
    } catch (thrown) {
      // the header is unreadable: the message is not the consumer's
      this.#break((thrown as Error).message);
    }
  }

  #receive(message: Msg): void {
    if (this.#ended) return;
    const position = this.#position;
    const reply = message.reply ?? "";
    if (!position.parse(reply)) {
      const { headers } = message;
      if (headers !== undefined && headers.code !== 0) return this.#control(reply, headers);
      return this.#silence.message();
    }
    this.#silence.message();
    if (position.delivery !== this.received + 1) return this.#break(LOST);
    this.received++;
    this.#listener.onMessage(message, position.sequence, position.time);
    if (this.received >= this.#expected || position.pending === 0) this.#caughtUp();
  }

  /** Handles a status message of the server with code 100: a heartbeat or flow control. */
  #control(reply: string, headers: MsgHdrs): void {
    if (headers.code !== 100) return this.#break(headers.status);
    if (reply !== "") {
      this.#silence.message();
      return this.#listener.onFlow(reply, false);
    }
    this.#silence.heartbeat();
    const stalled = headers.get("Nats-Consumer-Stalled");
    if (stalled !== "") this.#listener.onFlow(stalled, true);
    if (Number(headers.get("Nats-Last-Consumer") || this.received) !== this.received) return this.#break(LOST);
    // a heartbeat says that nothing is left to deliver: messages that were counted when the consumer was made may have
    // expired
    if (stalled !== "") return;
    this.#caughtUp();
    const sequence = Number(headers.get("Nats-Last-Stream"));
    if (Number.isSafeInteger(sequence)) this.#listener.onIdle(sequence);
  }

  #caughtUp(): void {
    if (this.#expected === Infinity || this.#ended) return;
    this.#expected = Infinity;
    this.#listener.onCaughtUp();
  }

  #break(why: string): void {
    if (this.#ended) return;
    this.close();
    this.#listener.onBroken(why);
  }
}

const LOST = "a message was lost on the way";
