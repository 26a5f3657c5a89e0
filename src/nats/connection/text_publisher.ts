/**
 * Publishes texts over a connection of nats.js: all texts of one turn of the event loop with one encoding and one
 * write. nats.js 3.4 encodes the subject, the headers and the payload of each message separately, and makes an object
 * of its headers: docs/internals/packages.md, row `core-publish`.
 */
import { nextTick } from "node:process";
import type { NatsConnection } from "@nats-io/nats-core";
import { byteLength, encode } from "../../data/utf8.ts";
import { headersText } from "../../ports/transport.ts";
import { type PrivateProtocol, protocolOf } from "./private.ts";

/** A message to be published, as text. */
export interface TextMessage {
  readonly subject: string;
  readonly reply: string;
  /** Headers as NATS writes them; `undefined`: none. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly text: string;
  /** True if the sender waits for the outcome of this message. */
  readonly awaited?: boolean | undefined;
}

/** Publishes messages over one connection, many of one turn of the event loop in one write. */
export class TextPublisher {
  readonly #protocol: Protocol;
  /**
   * The waiting messages as one text in NATS's protocol, with sizes as if all characters were ASCII; if they are not,
   * {@link TextPublisher.flush} makes the text again from `#messages`.
   */
  #waiting = "";
  /** The messages that wait to be published. */
  #messages: WaitingPublish[] = [];
  /** Length of `#waiting` when it was last checked for further messages; -1: no check is planned. */
  #seen = -1;
  /** Number of messages added since the last check (see `#seen`) whose senders wait for the outcome. */
  #awaited = 0;

  private constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  /**
   * Makes a publisher for a connection; `undefined`: this version of nats.js has other private methods, and messages
   * must be published one by one.
   */
  static of(connection: NatsConnection): TextPublisher | undefined {
    const protocol = protocolOf(connection);
    if (typeof protocol?.sendCommand !== "function" || typeof protocol.flushPending !== "function") return undefined;
    return new TextPublisher(protocol as Protocol);
  }

  /**
   * Adds a message, to be published at the end of this turn of the event loop, and returns 0. If the message is
   * larger than `limit` bytes, returns its size without adding it. The message's subjects, names and values must have
   * been checked.
   */
  publish({ subject, reply, headers, text, awaited }: TextMessage, limit: number): number {
    // headers are printable ASCII: they have as many bytes as characters
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
    // the texts are not all ASCII: each message is encoded again, with its size in bytes. (Checking each one before
    // would cost a thirtieth of an append.)
    if (bytes.length > waiting.length) {
      bytes = encode(messages.map((message) => published(message, byteLength(message.text))).join(""));
    }
    this.#protocol.sendCommand(bytes);
  }

  /** Writes published data to the socket now; nats.js would do so at the end of the turn of the event loop. */
  write(): void {
    this.#protocol.flushPending();
  }

  /** Drops the waiting messages, because the connection is lost. */
  drop(): void {
    this.#waiting = "";
    this.#messages = [];
  }

  /**
   * Publishes the waiting messages if none was added since the last check; else checks again. Checks run in
   * microtasks: a later turn of the event loop would cost a single message as much time as everything else here. If
   * several senders wait for outcomes, the messages are published at the end of the turn, because such senders would
   * publish after a check.
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

/** A message that waits to be published. */
interface WaitingPublish {
  readonly subject: string;
  readonly reply: string;
  readonly head: string;
  readonly text: string;
}

/** Encodes a message in NATS's protocol. `length`: size of the message's text, in bytes. */
function published({ subject, reply, head, text }: WaitingPublish, length: number): string {
  const line = head === ""
    ? `PUB ${subject} ${reply} ${length}`
    : `HPUB ${subject} ${reply} ${head.length} ${head.length + length}`;
  return `${line}\r\n${head}${text}\r\n`;
}

/** The private methods of nats.js with which messages are written. */
type Protocol = Required<Pick<PrivateProtocol, "sendCommand" | "flushPending">>;

/**
 * Number of waiting characters at which messages are written before the end of the turn: the server then works on the
 * first messages while the next are prepared.
 */
const MAX_WAITING = 16_384;
