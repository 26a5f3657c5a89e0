/**
 * Sealed texts and bytes: what a codec makes of them, marked so that a reader knows them from others. A sealed text is
 * one with a tag that stands for no value, `~"~sealed:<base64>"`: formats that have payloads take it for one with tags.
 */
import type { MaybePromise } from "../contract/schema.ts";
import type { PayloadCodec } from "../contract/payload_codec.ts";
import { base64 } from "../data/tags.ts";
import { encode } from "../data/utf8.ts";

/** A codec as the ports use it. What it throws is rejected. */
export class Sealing {
  readonly #codec: PayloadCodec;

  constructor(codec: PayloadCodec) {
    this.#codec = codec;
  }

  /** Seals a text, unless it is sealed: nobody here could read it, or it is passed on as it is. */
  seal(text: string): MaybePromise<string> {
    return isSealed(text) ? text : then(this.#encode(encode(text)), (bytes) => `${HEAD}${base64(bytes)}${END}`);
  }

  /** The text behind a sealed one; another text as it is. Rejects if the codec cannot read it. */
  open(text: string): MaybePromise<string> {
    if (!isSealed(text)) return text;
    const bytes = new Uint8Array(Buffer.from(text.slice(HEAD.length, -END.length), "base64"));
    return then(this.#decode(bytes), (opened) => utf8.decode(opened));
  }

  /** Like {@link Sealing.open}, but a text that the codec cannot read stays sealed. Never rejects. */
  openOrKeep(text: string): MaybePromise<string> {
    const opened = this.open(text);
    return opened instanceof Promise ? opened.catch(() => text) : opened;
  }

  /** Seals bytes. */
  sealBytes(bytes: Uint8Array): MaybePromise<Uint8Array> {
    return then(this.#encode(new Uint8Array(bytes)), (sealed) => {
      const marked = new Uint8Array(MARK.length + sealed.length);
      marked.set(MARK);
      marked.set(sealed, MARK.length);
      return marked;
    });
  }

  /** The bytes behind sealed ones; others as they are. Rejects if the codec cannot read them. */
  openBytes(bytes: Uint8Array): MaybePromise<Uint8Array> {
    return MARK.every((byte, i) => bytes[i] === byte) ? this.#decode(bytes.slice(MARK.length)) : bytes;
  }

  #encode(bytes: Uint8Array): MaybePromise<Uint8Array> {
    return made(() => this.#codec.encode(bytes as Uint8Array<ArrayBuffer>)); // its own, of no other buffer
  }

  #decode(bytes: Uint8Array): MaybePromise<Uint8Array> {
    return made(() => this.#codec.decode(bytes as Uint8Array<ArrayBuffer>));
  }
}

/** Returns true for a sealed text. */
export function isSealed(text: string): boolean {
  return text.startsWith(HEAD) && text.endsWith(END);
}

/** Calls the function with a value: at once, or when its promise resolves. */
export function then<T, R>(value: MaybePromise<T>, next: (value: T) => R): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

function made(what: () => MaybePromise<Uint8Array>): MaybePromise<Uint8Array> {
  try {
    const bytes = what();
    return bytes instanceof Promise ? bytes.then(checked) : checked(bytes);
  } catch (error) {
    return Promise.reject(error);
  }
}

function checked(bytes: Uint8Array): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  throw new TypeError("the codec gave something else than a Uint8Array");
}

/** The largest message for an app whose network takes `maxPayload` bytes: base64, and what a codec adds to payloads. */
export function unsealedLimit(maxPayload: number): number {
  return Math.floor(maxPayload * 0.7) - Math.min(MESSAGE_OVERHEAD, maxPayload >> 3);
}

const HEAD = '~"~sealed:';
const END = '"';
/** No JSON begins so. */
const MARK = new Uint8Array([0, 0x63]);
/** For 512 payloads of a message, in bytes. */
const MESSAGE_OVERHEAD = 40_960;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
