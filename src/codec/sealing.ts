/**
 * Sealed texts and bytes: the output of a codec, with a mark by which readers recognize it. A sealed text is
 * `~"~sealed:<base64>"`: it has the form of a text with a tag (a mark of a value that JSON lacks), so that code which
 * reads stored messages treats it like any payload with tags.
 */
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import type { PayloadCodec, PayloadOf } from "../contract/declaration/payload_codec.ts";
import { areSealed, base64, SEALED, SEALED_BYTES } from "../data/tags.ts";
import { encode } from "../data/utf8.ts";
import { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import { SharedTimer } from "../ports/shared_timer.ts";

/** Limit of time for the calls of a codec, which is the program's code and may never settle. */
export interface CodecLimit {
  readonly clock: Clock;
  /** Time in ms after which a call of the codec counts as failed. */
  readonly timeout: number;
}

/**
 * Encodes and decodes payloads with the program's codec, and marks the encoded ones. If the codec throws, the returned
 * promise rejects with that error; if it does not settle within the time limit, with `TIMEOUT`.
 */
export class Sealing {
  readonly #codec: PayloadCodec;
  readonly #timeout: number;
  readonly #timers: SharedTimer;

  constructor(codec: PayloadCodec, { clock, timeout }: CodecLimit) {
    this.#codec = codec;
    this.#timeout = timeout;
    this.#timers = new SharedTimer(clock, { background: true });
  }

  /**
   * Encodes a text by the codec, and marks it. A text that is marked already stays as it is: it could not be decoded
   * here, or is passed on unchanged.
   */
  seal(text: string, of = OF_NONE): MaybePromise<string> {
    return isSealed(text)
      ? text
      : andThen(this.#encode(encode(text), of), (bytes) => `${SEALED}${base64(bytes)}${END}`);
  }

  /** Decodes a text by the codec; a text without the mark stays as it is. Rejects if the codec cannot decode it. */
  open(text: string, of = OF_NONE): MaybePromise<string> {
    if (!isSealed(text)) return text;
    const bytes = new Uint8Array(Buffer.from(text.slice(SEALED.length, -END.length), "base64"));
    return andThen(this.#decode(bytes, of), (opened) => utf8.decode(opened));
  }

  /**
   * Decodes a text by the codec; a text without the mark, or that the codec cannot decode, stays as it is. Never
   * rejects.
   */
  openOrKeep(text: string, of = OF_NONE): MaybePromise<string> {
    const opened = this.open(text, of);
    return opened instanceof Promise ? opened.catch(() => text) : opened;
  }

  /** Encodes bytes by the codec, and marks them. */
  sealBytes(bytes: Uint8Array): MaybePromise<Uint8Array> {
    return andThen(this.#encode(new Uint8Array(bytes), OF_NONE), (sealed) => {
      const marked = new Uint8Array(SEALED_BYTES.length + sealed.length);
      marked.set(SEALED_BYTES);
      marked.set(sealed, SEALED_BYTES.length);
      return marked;
    });
  }

  /** Decodes bytes by the codec; bytes without the mark stay as they are. Rejects if the codec cannot decode them. */
  openBytes(bytes: Uint8Array): MaybePromise<Uint8Array> {
    return areSealed(bytes) ? this.#decode(bytes.slice(SEALED_BYTES.length), OF_NONE) : bytes;
  }

  #encode(bytes: Uint8Array, of: PayloadOf): MaybePromise<Uint8Array> {
    // the cast is safe: the bytes have their own buffer
    return this.#made("encoded", () => this.#codec.encode(bytes as Uint8Array<ArrayBuffer>, of));
  }

  #decode(bytes: Uint8Array, of: PayloadOf): MaybePromise<Uint8Array> {
    return this.#made("decoded", () => this.#codec.decode(bytes as Uint8Array<ArrayBuffer>, of));
  }

  #made(what: "encoded" | "decoded", make: () => MaybePromise<Uint8Array>): MaybePromise<Uint8Array> {
    try {
      const bytes = make();
      return bytes instanceof Promise ? this.#inTime(what, bytes).then(checked) : checked(bytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #inTime<T>(what: string, promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = () =>
        reject(new CatgaError("TIMEOUT", `the codec has not ${what} a payload within ${this.#timeout} ms`));
      const timer = this.#timers.after(this.#timeout, late);
      promise.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}

/** The context of a payload that is stored with no message, or with several as one. */
const OF_NONE: PayloadOf = Object.freeze({ contract: undefined, key: undefined });

/** Returns true for a text that a codec has encoded, by its mark. */
export function isSealed(text: string): boolean {
  return text.startsWith(SEALED) && text.endsWith(END);
}

function checked(bytes: Uint8Array): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  throw new TypeError("the codec gave something else than a Uint8Array");
}

const END = '"';
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
