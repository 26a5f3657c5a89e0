/**
 * Publishes texts: those of one turn of the event loop with one encoding and one write. nats.js 3.4 encodes the subject, the headers and the
 * payload of each message by itself, and makes an object of its headers: a fifth of the time of an append.
 */
import { Buffer } from "node:buffer";
import type { NatsConnection } from "@nats-io/nats-core";
import { byteLength } from "../data/utf8.ts";
import type { Clock } from "../ports/clock.ts";

/** A message as text. */
export interface TextMessage {
  readonly subject: string;
  readonly reply: string;
  /** As NATS has them; none. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly text: string;
}

/** Publishes texts over one connection. */
export class TextPublisher {
  readonly #clock: Clock;
  readonly #protocol: Protocol;
  #waiting = "";

  private constructor(clock: Clock, protocol: Protocol) {
    this.#clock = clock;
    this.#protocol = protocol;
  }

  /** `undefined`: this nats.js does not have what nats.js 3.4 has, and messages have to go the usual way. */
  static of(connection: NatsConnection, clock: Clock): TextPublisher | undefined {
    // not part of the type of a connection
    const { protocol } = connection as { protocol?: Partial<Protocol> };
    if (typeof protocol?.sendCommand !== "function") return undefined;
    return new TextPublisher(clock, protocol as Protocol);
  }

  /**
   * Publishes a message at the end of this turn, unless it has more than `limit` bytes. Its subjects, names and values have been checked.
   * Returns its size, as the limit of the server counts it.
   */
  publish({ subject, reply, headers, text }: TextMessage, limit: number): number {
    const head = headersText(headers);
    const size = head.length + byteLength(text);
    if (size > limit) return size;
    const line = head === "" ? `PUB ${subject} ${reply} ${size}` : `HPUB ${subject} ${reply} ${head.length} ${size}`;
    const begins = this.#waiting === "";
    this.#waiting += `${line}\r\n${head}${text}\r\n`;
    if (begins) this.#clock.soon(() => this.flush());
    else if (this.#waiting.length > MOST) this.flush();
    return size;
  }

  /** Publishes what waits now. */
  flush(): void {
    const waiting = this.#waiting;
    this.#waiting = "";
    if (waiting !== "") this.#protocol.sendCommand(Buffer.from(waiting));
  }

  /** Drops what waits: the connection is lost. */
  drop(): void {
    this.#waiting = "";
  }
}

/** What nats.js writes with. */
interface Protocol {
  sendCommand(command: Uint8Array): void;
}

/** Names and values of the headers are printable ASCII: so many characters are so many bytes. */
function headersText(headers: Readonly<Record<string, string>> | undefined): string {
  if (headers === undefined) return "";
  let text = "NATS/1.0\r\n";
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  return `${text}\r\n`;
}

/** Characters that wait at most: the server works on the first messages of a large turn while the next are prepared. */
const MOST = 32_768;
