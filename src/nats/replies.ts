/**
 * Receives batches of messages that the server sends as answers to a request, over one subscription for a whole
 * connection.
 */
import type { Msg, Subscription } from "@nats-io/nats-core";
import { mayNot } from "../ports/transport.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import { violation } from "./nats_error.ts";
import { numberAt } from "./stored_message.ts";
import type { NatsTransport } from "./transport.ts";

/** Receives the messages of one batch. */
interface ReplyReceiver {
  receive(message: Msg): void;
  failed(error: Error): void;
}

/**
 * Receives batches of messages over one subscription, because a subscription for each batch would cost an additional
 * write.
 */
export class Replies {
  readonly #transport: NatsTransport;
  readonly #inbox: string;
  readonly #open: Map<number, ReplyReceiver> = new Map();
  #subscription: Subscription | undefined;
  #next = 1;

  constructor(transport: NatsTransport) {
    this.#transport = transport;
    this.#inbox = `${transport.inbox()}.`;
  }

  /** Registers a receiver. Returns the subject to which its messages must be sent, and a function that removes it. */
  open(receiver: ReplyReceiver): { readonly reply: string; close(): void } {
    this.#subscription ??= this.#subscribe();
    const number = this.#next++;
    this.#open.set(number, receiver);
    return { reply: this.#inbox + number.toString(36), close: () => this.#open.delete(number) };
  }

  #subscribe(): Subscription {
    const subject = `${this.#inbox}*`;
    return this.#transport.listen(subject, (error, message) => {
      if (error === null) return this.#receive(message);
      this.#subscription = undefined;
      const forbidden = mayNot(violation(error) ?? { operation: "subscribe", subject }, error);
      for (const receiver of this.#open.values()) receiver.failed(forbidden);
    });
  }

  /** Passes a message to its receiver. Must not throw, because that would end the connection's reader for good. */
  #receive(message: Msg): void {
    const receiver = this.#open.get(numberAt(message, this.#inbox.length));
    try {
      receiver?.receive(message);
    } catch (thrown) {
      receiver?.failed(new JetStreamRefusal("other", (thrown as Error).message, thrown));
    }
  }
}
