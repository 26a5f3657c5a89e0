/**
 * Messages of a stream, as they come: delivered by a consumer, read directly, or from the API; and what they are in the
 * stream of a bucket.
 */
import type { StoredMsg } from "@nats-io/jetstream";
import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import type { StoredMessage } from "../ports/event_log.ts";
import type { MessageTimes } from "./message_times.ts";
import { bytesOf } from "./private.ts";

/**
 * A message that a consumer delivered. Its headers are decoded when they are read, because that costs more than all
 * else.
 */
export class DeliveredMessage implements StoredMessage {
  readonly sequence: number;
  readonly time: number;
  readonly subject: string;
  readonly data: Uint8Array;
  #message: Msg | undefined;
  #headers: Readonly<Record<string, string>> | undefined;

  constructor(message: Msg, sequence: number, time: number, subject: string = message.subject) {
    this.sequence = sequence;
    this.time = time;
    this.subject = subject;
    this.data = message.data;
    this.#message = message;
  }

  /** Of anybody's message: none if nats.js cannot read them. */
  get headers(): Readonly<Record<string, string>> | undefined {
    if (this.#message !== undefined) {
      try {
        this.#headers = this.#read(this.#message.headers);
      } catch {
        // a name or value that the protocol does not allow: whoever reads the message finds it without what it needs
      }
      this.#message = undefined;
    }
    return this.#headers;
  }

  #read(headers: MsgHdrs | undefined): Readonly<Record<string, string>> | undefined {
    const own = headers?.keys().filter((name) => this.isOwn(name)) ?? [];
    return own.length === 0 ? undefined : Object.fromEntries(own.map((name) => [name, headers!.get(name)]));
  }

  /** Whether its publisher gave it a header. */
  protected isOwn(_name: string): boolean {
    return true;
  }
}

/** Headers that the server adds to an answer of a direct get. */
const DIRECT: ReadonlySet<string> = new Set([
  "Nats-Stream",
  "Nats-Subject",
  "Nats-Sequence",
  "Nats-Time-Stamp",
  "Nats-Num-Pending",
  "Nats-Last-Sequence",
  "Nats-UpTo-Sequence",
]);

/** A message of a direct get. */
export class DirectMessage extends DeliveredMessage {
  /** The sequence of the message before it in a batch; 0: it is the first one, or alone. */
  readonly before: number;

  /** `undefined`: it is none. `times`: those of its batch. */
  static of(message: Msg, times?: MessageTimes): DirectMessage | undefined {
    const header = headerOf(message);
    if (header === undefined) return undefined;
    const sequence = Number(header(SEQUENCE) || 0);
    if (!Number.isSafeInteger(sequence) || sequence <= 0) return undefined;
    const time = times === undefined ? Date.parse(header(TIME)) : times.read(header(TIME));
    if (Number.isNaN(time)) return undefined;
    return new DirectMessage(message, sequence, time, header);
  }

  private constructor(message: Msg, sequence: number, time: number, header: (line: string) => string) {
    super(message, sequence, time, header(SUBJECT));
    this.before = Number(header(BEFORE) || 0);
  }

  protected override isOwn(name: string): boolean {
    return !DIRECT.has(name);
  }
}

/** How the lines of headers begin that the server adds. */
const SEQUENCE = "\r\nNats-Sequence:";
const TIME = "\r\nNats-Time-Stamp:";
const SUBJECT = "\r\nNats-Subject:";
const BEFORE = "\r\nNats-Last-Sequence:";

/**
 * Looks up headers that the server adds, behind those of the message itself, by how their lines begin; "" for one that
 * is not there. It reads the bytes, if this nats.js has them where 3.4 has them, which takes a fraction of its own
 * decoding of headers: docs/internals/packages.md, row `core-headers`.
 */
function headerOf(message: Msg): ((line: string) => string) | undefined {
  const { _rdata: bytes, _msg: head } = bytesOf(message);
  const length = head?.hdr;
  if (!(bytes instanceof Uint8Array) || length === undefined) {
    const { headers } = message;
    return headers && ((line) => headers.get(line.slice(2, -1)));
  }
  if (length <= 0) return undefined;
  const text = decoder.decode(bytes.subarray(0, length));
  return (line) => {
    const at = text.lastIndexOf(line);
    if (at < 0) return "";
    const begin = at + line.length;
    return text.slice(begin, text.indexOf("\r\n", begin)).trim();
  };
}

const decoder = new TextDecoder();

/**
 * The number behind so many characters of a message's subject, in base 36; NaN: there is none. It reads the bytes, if
 * this nats.js has them where 3.4 has them: to decode a text takes as long as all else that becomes of an
 * acknowledgement (docs/internals/packages.md, row `publish`).
 */
export function numberAt(message: Msg, prefix: number): number {
  const { _msg: head } = bytesOf(message);
  const bytes = head?.subject;
  if (!(bytes instanceof Uint8Array)) return Number.parseInt(message.subject.slice(prefix), 36);
  let number = bytes.length > prefix ? 0 : NaN;
  for (let at = prefix; at < bytes.length; at++) {
    const code = bytes[at];
    const digit = code < 58 ? code - 48 : code - 87;
    if (!(digit >= 0 && digit < 36)) return NaN;
    number = number * 36 + digit;
  }
  return number;
}

/** A message of a stream, as `@nats-io/jetstream` gives it for a read or a direct get. */
type ReadMessage = Pick<StoredMsg, "seq" | "subject" | "time" | "data" | "header">;

/**
 * A message that `@nats-io/jetstream` read, which takes any answer for one (docs/internals/packages.md, row
 * `any-answer`): `undefined` if it is none. `direct`: it has headers of a direct get.
 */
export function toStored(message: ReadMessage, direct = false): StoredMessage | undefined {
  try {
    const { seq, subject, data } = message;
    const time = message.time.getTime();
    if (!Number.isSafeInteger(seq) || seq <= 0 || typeof subject !== "string" || Number.isNaN(time)) return undefined;
    return { sequence: seq, subject, time, data, headers: headersOf(message, direct) };
  } catch {
    return undefined;
  }
}

/** The headers of anybody's message: none if nats.js cannot read them. */
function headersOf(message: ReadMessage, direct: boolean): Readonly<Record<string, string>> | undefined {
  try {
    const { header } = message;
    const own = header.keys().filter((name) => !(direct && DIRECT.has(name)));
    return own.length === 0 ? undefined : Object.fromEntries(own.map((name) => [name, header.get(name)]));
  } catch {
    return undefined;
  }
}
