/**
 * Messages of a stream in the three forms in which they arrive: delivered by a consumer, read by direct get, or read
 * from JetStream's API; the time in its text, and the change of a bucket's entry that it describes.
 */
import type { StoredMsg } from "@nats-io/jetstream";
import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import type { StoredMessage } from "../../ports/event_log.ts";
import { bytesOf } from "../connection/private.ts";
import { readTtl, type StoredTime } from "./expiry.ts";

/**
 * A message delivered by a consumer. Its headers are decoded only when they are read, because decoding costs more
 * than everything else.
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

  /** Headers of the message. Anybody may have written them; `undefined` if nats.js cannot read them. */
  get headers(): Readonly<Record<string, string>> | undefined {
    if (this.#message !== undefined) {
      try {
        this.#headers = this.#read(this.#message.headers);
      } catch {
        // a header has an invalid name or value: the headers stay `undefined`
      }
      this.#message = undefined;
    }
    return this.#headers;
  }

  #read(headers: MsgHdrs | undefined): Readonly<Record<string, string>> | undefined {
    const own = headers?.keys().filter((name) => this.isOwn(name)) ?? [];
    return own.length === 0 ? undefined : Object.fromEntries(own.map((name) => [name, headers!.get(name)]));
  }

  /** Returns true if a header was set by the message's publisher, not added by the server. */
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

/** A message of a stream that was read by direct get, from any server that has the stream. */
export class DirectMessage extends DeliveredMessage {
  /** Sequence of the previous message in the same batch; 0: the message is the first, or not in a batch. */
  readonly before: number;

  /** Parses the answer of a direct get; `undefined`: invalid. `times`: parser of times, shared by a batch for speed. */
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

/** Returns the name of the stream that answered a direct get; "" if the answer names none. */
export function answererOf(message: Msg): string {
  return headerOf(message)?.(STREAM) ?? "";
}

/** Beginnings of the header lines that the server adds to the answer of a direct get. */
const STREAM = "\r\nNats-Stream:";
const SEQUENCE = "\r\nNats-Sequence:";
const TIME = "\r\nNats-Time-Stamp:";
const SUBJECT = "\r\nNats-Subject:";
const BEFORE = "\r\nNats-Last-Sequence:";

/**
 * Returns a function that returns the value of a header line that the server adds (behind the message's own headers),
 * by the beginning of the line; "" if absent. `undefined`: the message has no headers. It reads the received bytes, if
 * this nats.js keeps them where version 3.4 does, which takes a fraction of the time of decoding all headers:
 * docs/internals/packages.md, row `core-headers`.
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
 * Parses the number, in base 36, behind the first `prefix` characters of a message's subject; NaN: there is none. It
 * reads the received bytes, if this nats.js keeps them where version 3.4 does: decoding a text takes as long as
 * everything else about an acknowledgement (docs/internals/packages.md, row `publish`).
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

/** A message of a stream as `@nats-io/jetstream` returns it for a read or a direct get. */
type ReadMessage = Pick<StoredMsg, "seq" | "subject" | "time" | "data" | "header">;

/**
 * Converts a message that `@nats-io/jetstream` has read; `undefined`: the answer is no stored message (the package
 * accepts any answer: docs/internals/packages.md, row `any-answer`). `direct`: true if it has the headers of a direct
 * get.
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

/** Returns the headers of a message. Anybody may have written them; `undefined` if nats.js cannot read them. */
function headersOf(message: ReadMessage, direct: boolean): Readonly<Record<string, string>> | undefined {
  try {
    const { header } = message;
    const own = header.keys().filter((name) => !(direct && DIRECT.has(name)));
    return own.length === 0 ? undefined : Object.fromEntries(own.map((name) => [name, header.get(name)]));
  } catch {
    return undefined;
  }
}

/** A message of a bucket's stream, as {@link recordOf} converts it to a change of an entry. */
export interface StreamRecord extends StoredTime {
  readonly subject: string;
  readonly revision: number;
  /** Effect of the message on the entry of its key: the entry was written, removed, or has expired. */
  readonly type: "put" | "delete" | "expire";
  readonly data: string;
}

/**
 * Converts a message of a bucket's stream to the change of an entry that it describes.
 * @decides a message of a bucket's stream becomes a change: written, removed, expired
 */
export function recordOf({ subject, sequence, time, data, headers }: StoredMessage): StreamRecord {
  const ttl = readTtl(headers?.["Nats-TTL"]);
  return { subject, revision: sequence, type: typeOf(headers), data: values.decode(data), stored: time, ttl };
}

const values = new TextDecoder("utf-8", { ignoreBOM: true });

function typeOf(headers: StoredMessage["headers"]): StreamRecord["type"] {
  const reason = headers?.["Nats-Marker-Reason"];
  if (reason === "MaxAge") return "expire";
  const operation = headers?.["KV-Operation"];
  return reason || operation === "PURGE" || operation === "DEL" ? "delete" : "put";
}

/**
 * Parses the times of messages fast: most messages were stored in the same second as the one before. `Date.parse` would
 * take most of the time of reading a message, because the server writes nanoseconds: `2026-11-22T05:08:29.050123456Z`.
 */
export class MessageTimes {
  /** Text of the last parsed time up to its second, such as `2026-11-22T05:08:29.`. */
  #second = "?";
  /** The time that `#second` stands for, in ms since 1970. */
  #time = NaN;

  /** Parses a time like `Date.parse`, in whole ms since 1970. */
  read(text: string): number {
    if (text.startsWith(this.#second)) {
      const zone = text.length - 1;
      let ms = 0;
      // the server leaves out zeros at the end of the fraction
      for (let at = 20; at < 23; at++) ms = ms * 10 + (at < zone ? text.charCodeAt(at) - 48 : 0);
      if (zone > 20 && text.charCodeAt(zone) === Z && /^\d+$/.test(text.slice(20, zone))) return this.#time + ms;
    }
    const time = Date.parse(text);
    if (text.charCodeAt(19) === DOT) {
      this.#second = text.slice(0, 20);
      this.#time = Math.floor(time / 1_000) * 1_000;
    }
    return time;
  }
}

const Z = 90;
const DOT = 46;
