/**
 * Publishes texts over a connection of nats.js: all texts of one turn of the event loop with one encoding and one
 * write. nats.js 3.4 encodes the subject, the headers and the payload of each message separately, and makes an object
 * of its headers: docs/internals/packages.md, row `core-publish`.
 */
import { nextTick } from "node:process";
import type { NatsConnection } from "@nats-io/nats-core";
import { byteLength, encode } from "../data/utf8.ts";
import { headersText } from "../ports/transport.ts";
import { type PrivateProtocol, protocolOf } from "./private.ts";

/** A message as text. */
export interface TextMessage {
  readonly subject: string;
  readonly reply: string;
  /** Headers as NATS writes them; `undefined`: none. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly text: string;
  /** True if the sender awaits the outcome of this message. */
  readonly awaited?: boolean | undefined;
}

/** Publishes texts over one connection. */
export class TextPublisher {
  readonly #protocol: Protocol;
  /** Waiting messages as one text in NATS's protocol, if all of them are ASCII. */
  #waiting = "";
  /** The waiting messages. */
  #messages: WaitingPublish[] = [];
  /** Length of `#waiting` at the last check for further messages; -1: no check is pending. */
  #seen = -1;
  /** Number of awaited messages since then. */
  #awaited = 0;

  private constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  /**
   * Makes a publisher for a connection; `undefined`: this nats.js has another protocol, and messages must be published
   * one by one.
   */
  static of(connection: NatsConnection): TextPublisher | undefined {
    const protocol = protocolOf(connection);
    if (typeof protocol?.sendCommand !== "function" || typeof protocol.flushPending !== "function") return undefined;
    return new TextPublisher(protocol as Protocol);
  }

  /**
   * Publishes a message at the end of this turn and returns 0; returns its size without publishing if that exceeds
   * `limit` bytes. Its subjects, names and values must have been checked.
   */
  publish({ subject, reply, headers, text, awaited }: TextMessage, limit: number): number {
    // headers are printable ASCII: as many bytes as characters
    const head = headersText(headers);
    const size = head.length + (head.length + 3 * text.length > limit ? byteLength(text) : text.length);
    if (size > limit) return size;
    const message = { subject, reply, head, text };
    this.#messages.push(message);
    this.#waiting += published(message, text.length);
    if (awaited) this.#awaited++;
    if (this.#seen < 0) this.#look();
    else if (this.#waiting.length > MAX_WAITING) {
      this.flush();
      this.write();
    }
    return 0;
  }

  /** Publishes the waiting messages now. */
  flush(): void {
    const [waiting, messages] = [this.#waiting, this.#messages];
    this.drop();
    if (waiting === "") return;
    let bytes = encode(waiting);
    // some are not ASCII; checking each message costs a thirtieth of an append
    if (bytes.length > waiting.length) {
      bytes = encode(messages.map((message) => published(message, byteLength(message.text))).join(""));
    }
    this.#protocol.sendCommand(bytes);
  }

  /** Writes published data to the socket now; nats.js does so only at the end of the turn. */
  write(): void {
    this.#protocol.flushPending();
  }

  /** Drops the waiting messages: the connection is lost. */
  drop(): void {
    this.#waiting = "";
    this.#messages = [];
  }

  /**
   * Publishes the waiting messages once no message was added since the last check. Checks run in microtasks, not in a
   * later turn, which would cost a single message as much time as everything else here. If several messages are
   * awaited, they are published at the end of the turn: such senders would publish behind a check.
   */
  #look(): void {
    this.#seen = this.#waiting.length;
    const end = () => {
      this.#seen = -1;
      this.#awaited = 0;
      this.flush();
    };
    queueMicrotask(() => {
      if (this.#awaited > 1) return nextTick(end);
      if (this.#waiting.length !== this.#seen) return this.#look();
      end();
    });
  }
}

/** A waiting message. */
interface WaitingPublish {
  readonly subject: string;
  readonly reply: string;
  readonly head: string;
  readonly text: string;
}

/** Encodes a message in NATS's protocol. `length`: size of its text, in bytes. */
function published({ subject, reply, head, text }: WaitingPublish, length: number): string {
  const line = head === ""
    ? `PUB ${subject} ${reply} ${length}`
    : `HPUB ${subject} ${reply} ${head.length} ${head.length + length}`;
  return `${line}\r\n${head}${text}\r\n`;
}

/** The private methods of nats.js that write. */
type Protocol = Required<Pick<PrivateProtocol, "sendCommand" | "flushPending">>;

/**
 * Maximum number of waiting characters: the server works on the first messages of a large turn while the next are
 * prepared.
 */
const MAX_WAITING = 16_384;
