/**
 * Publishes texts over a connection of nats.js: those of one turn of the event loop with one encoding and one write.
 * nats.js 3.4 encodes the subject, the headers and the payload of each message by itself, and makes an object of its
 * headers: docs/internals/packages.md, row `core-publish`.
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
  /** As NATS has them; none. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly text: string;
  /** Its sender awaits a promise of what becomes of it. */
  readonly awaited?: boolean | undefined;
}

/** Publishes texts over one connection. */
export class TextPublisher {
  readonly #protocol: Protocol;
  /** Text of the messages that wait, in NATS's protocol if all of them are ASCII; and the messages. */
  #waiting = "";
  #messages: WaitingPublish[] = [];
  /** How much waited when it was looked last whether more comes; -1: nobody looks. */
  #seen = -1;
  /** How many of the messages since then are awaited. */
  #awaited = 0;

  private constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  /** `undefined`: this nats.js has another protocol, and messages have to go the usual way. */
  static of(connection: NatsConnection): TextPublisher | undefined {
    const protocol = protocolOf(connection);
    if (typeof protocol?.sendCommand !== "function" || typeof protocol.flushPending !== "function") return undefined;
    return new TextPublisher(protocol as Protocol);
  }

  /**
   * Publishes a message at the end of this turn, unless it has more than `limit` bytes: then it returns how many, else
   * 0. Its subjects, names and values have been checked.
   */
  publish({ subject, reply, headers, text, awaited }: TextMessage, limit: number): number {
    // names and values of the headers are printable ASCII: so many characters are so many bytes
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

  /** Publishes what waits now. */
  flush(): void {
    const [waiting, messages] = [this.#waiting, this.#messages];
    this.drop();
    if (waiting === "") return;
    let bytes = encode(waiting);
    // some are not ASCII; to look at each is a thirtieth of an append
    if (bytes.length > waiting.length) {
      bytes = encode(messages.map((message) => published(message, byteLength(message.text))).join(""));
    }
    this.#protocol.sendCommand(bytes);
  }

  /** Writes what was published to the socket: nats.js does so at the end of the turn only. */
  write(): void {
    this.#protocol.flushPending();
  }

  /** Drops what waits: the connection is lost. */
  drop(): void {
    this.#waiting = "";
    this.#messages = [];
  }

  /**
   * Publishes what waits when nothing has come since the last look. A microtask for each look, not a later turn: that
   * costs a lone message as much time as all else here. Several that are awaited are published at the end of the turn:
   * who awaits more than others publishes behind a look.
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

/** A message that waits. */
interface WaitingPublish {
  readonly subject: string;
  readonly reply: string;
  readonly head: string;
  readonly text: string;
}

/** A message as NATS has it; `length`: of its text, in bytes. */
function published({ subject, reply, head, text }: WaitingPublish, length: number): string {
  const line = head === ""
    ? `PUB ${subject} ${reply} ${length}`
    : `HPUB ${subject} ${reply} ${head.length} ${head.length + length}`;
  return `${line}\r\n${head}${text}\r\n`;
}

/** The protocol of nats.js, which writes. */
type Protocol = Required<Pick<PrivateProtocol, "sendCommand" | "flushPending">>;

/** Characters that wait at most: the server works on the first messages of a large turn while the next are prepared. */
const MAX_WAITING = 16_384;
