/** A message of nats.js, in the form in which the transport delivers it. */
import type { Msg } from "@nats-io/nats-core";
import type { TransportMessage } from "../ports/transport.ts";

/** A message of nats.js as a `TransportMessage`. Headers are decoded at each access, and not before. */
export class NatsMessage implements TransportMessage {
  readonly #message: Msg;

  /** Wraps a message, without reading it. */
  constructor(message: Msg) {
    this.#message = message;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  get reply(): string | undefined {
    return this.#message.reply || undefined;
  }

  get headers(): Readonly<Record<string, string>> | undefined {
    const headers = this.#message.headers;
    if (headers === undefined || headers.keys().length === 0) return undefined;
    return Object.fromEntries(headers.keys().map((name) => [name, headers.get(name)]));
  }

  get noResponders(): boolean {
    if (this.#message.data.length > 0) return false;
    const { headers } = this.#message;
    // a message that a stream delivers is never a bounce, even if it has the status 503, which servers before 2.15
    // store as well
    return headers?.code === 503 && !headers.has("Nats-Stream");
  }
}
