/**
 * A transport that encodes ("seals") the messages of some subjects by a codec, each message as a whole. Messages keep
 * their order.
 */
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import { tooLarge, unsealedLimit } from "../data/message_room.ts";
import { checkHeader, checkSubject } from "../data/checks.ts";
import { encode } from "../data/utf8.ts";
import type { Clock, Random } from "../ports/clock.ts";
import {
  messageSize,
  type ServerInfo,
  type SubscribeOptions,
  type Subscription,
  type Transport,
  type TransportMessage,
  type TransportPublishOptions,
  type TransportStatus,
} from "../ports/transport.ts";
import { InOrder } from "./in_order.ts";
import type { Sealing } from "./sealing.ts";

/** A transport around another one, which encodes and decodes messages by a codec. */
export class SealedTransport implements Transport {
  readonly #transport: Transport;
  readonly #sealing: Sealing;
  readonly #seals: (subject: string) => boolean;
  readonly #onError: (error: unknown) => void;
  readonly #out = new InOrder();
  readonly #in = new InOrder();

  /** `seals`: returns true for a subject whose messages are encoded. */
  constructor(
    transport: Transport,
    sealing: Sealing,
    seals: (subject: string) => boolean,
    onError: (error: unknown) => void,
  ) {
    this.#transport = transport;
    this.#sealing = sealing;
    this.#seals = seals;
    this.#onError = onError;
  }

  get clock(): Clock {
    return this.#transport.clock;
  }

  get random(): Random {
    return this.#transport.random;
  }

  get maxPayload(): number {
    return unsealedLimit(this.#transport.maxPayload);
  }

  get status(): TransportStatus {
    return this.#transport.status;
  }

  get server(): ServerInfo {
    return this.#transport.server;
  }

  onStatus(listener: (status: TransportStatus) => void): () => void {
    return this.#transport.onStatus(listener);
  }

  /** Resolves when all messages published so far have been passed to the wrapped transport. */
  get sent(): Promise<void> {
    return this.#out.passed;
  }

  publish(subject: string, data: string | Uint8Array, options?: TransportPublishOptions): void {
    const isSealed = data.length > 0 && this.#seals(subject);
    if (!isSealed && this.#out.isIdle) return this.#transport.publish(subject, data, options);
    const bytes = typeof data === "string" ? encode(data) : data.slice();
    for (const [name, value] of Object.entries(options?.headers ?? {})) checkHeader(name, value); // throws if invalid
    const [size, limit] = [messageSize({ data: bytes, headers: options?.headers }), this.maxPayload];
    if (size > limit) throw tooLarge(`a message to ${subject}, before its codec,`, size, limit, "send");
    checkSubject(subject); // checked here, so that a wrong subject throws at once
    if (options?.reply !== undefined) checkSubject(options.reply);
    // a closed connection gets the message at once and unencoded, because its `publish` only throws
    if (this.#transport.status.state === "closed") return this.#transport.publish(subject, bytes, options);
    const given = { ...options, ...(options?.headers === undefined ? {} : { headers: { ...options.headers } }) };
    const publish = (sealed: Uint8Array) => this.#transport.publish(subject, sealed, given);
    this.#out.pass(isSealed ? this.#sealing.sealBytes(bytes) : bytes, publish, this.#onError);
  }

  subscribe(subject: string, options: SubscribeOptions, onMessage: (message: TransportMessage) => void): Subscription {
    let isClosed = false;
    const subscription = this.#transport.subscribe(subject, options, (message) => {
      const opened = this.#open(message);
      this.#in.pass(opened, (opened) => isClosed || onMessage(opened), this.#onError);
    });
    const messages = this.#in;
    return {
      get forbidden() {
        return subscription.forbidden ?? false;
      },
      async drain() {
        await subscription.drain();
        await messages.passed;
      },
      close() {
        isClosed = true;
        subscription.close();
      },
    };
  }

  async flush(): Promise<void> {
    await this.#out.passed;
    await this.#transport.flush();
  }

  async close(): Promise<void> {
    await this.#out.passed;
    await this.#transport.close();
  }

  #open(message: TransportMessage): MaybePromise<TransportMessage> {
    const opened = this.#sealing.openBytes(message.data);
    // an unencoded message that no earlier message delays is passed on as the same object: its callback runs at once,
    // so that its data need not be copied
    if (opened === message.data && this.#in.isIdle) return message;
    const { subject, reply, headers, noResponders } = message;
    if (opened === message.data) return { subject, reply, headers, noResponders, data: message.data.slice() };
    return andThen(opened, (data) => ({ subject, reply, headers, noResponders, data }));
  }
}
