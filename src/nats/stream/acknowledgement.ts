/** Parses the acknowledgements with which JetStream answers messages for a stream. */
import { encode } from "../../data/utf8.ts";
import { parsedJson } from "../../data/encoding.ts";
import { CatgaError, unavailable } from "../../error.ts";
import { type Appended, neverStored, notStoredNow } from "../../ports/event_log.ts";
import { type JetStreamRefusal, refusalOf, storeFull } from "./jetstream_refusal.ts";

const DIGIT_0 = 48;
const DIGIT_9 = 57;
const BRACE = 125;
const SPACE = 32;
const SEQ = 6; // the length of `"seq":`

/** Parses the acknowledgements of one stream. */
export class AcknowledgementReader {
  readonly #stream: string;
  readonly #what: string;
  readonly #isForeign: (domain: unknown) => boolean;
  /**
   * Beginnings of most acknowledgements of the stream: servers write them with a space after the colon in some
   * streams, without in others.
   */
  readonly #spaced: Uint8Array;
  readonly #plain: Uint8Array;

  /** `isForeign`: returns true for the name of a JetStream domain that is not the stream's. */
  constructor(stream: string, what: string, isForeign: (domain: unknown) => boolean = () => false) {
    this.#stream = stream;
    this.#what = what;
    this.#isForeign = isForeign;
    this.#spaced = encode(`{"stream":"${stream}", "seq":`);
    this.#plain = encode(`{"stream":"${stream}","seq":`);
  }

  /**
   * Returns the outcome of the message, or a string that says what is wrong with an answer that did not come from
   * this stream.
   */
  read(data: Uint8Array): Appended | string {
    const sequence = this.#usualSequence(data);
    if (sequence > 0) return { type: "stored", sequence, duplicate: false };
    const answer = parsedJson(data) as StoreAnswer | null | undefined;
    if (answer === undefined) return "an answer that is not JSON";
    if (typeof answer !== "object" || answer === null) return "an answer that is not an object";
    const { error, stream, seq, duplicate, domain } = answer;
    if (this.#isForeign(domain)) return `an acknowledgement of the JetStream domain ${String(domain).slice(0, 80)}`;
    if (typeof error === "object" && error !== null) return refused(refusalOf(error), error.err_code, this.#what);
    if (stream !== this.#stream) return `an acknowledgement of the stream ${JSON.stringify(stream)?.slice(0, 80)}`;
    if (!Number.isSafeInteger(seq) || Number(seq) <= 0) return "an acknowledgement without a sequence";
    return { type: "stored", sequence: Number(seq), duplicate: duplicate === true };
  }

  /** Returns the sequence in an answer that has only stream and sequence, which most have; 0 for any other answer. */
  #usualSequence(data: Uint8Array): number {
    const plain = this.#plain;
    const usual = data[plain.length - SEQ] === SPACE ? this.#spaced : plain;
    const last = data.length - 1;
    if (last <= usual.length || data[last] !== BRACE || last - usual.length > 15) return 0;
    for (let i = 0; i < usual.length; i++) if (data[i] !== usual[i]) return 0;
    let sequence = 0;
    for (let i = usual.length; i < last; i++) {
      const digit = data[i];
      if (digit < DIGIT_0 || digit > DIGIT_9) return 0;
      sequence = sequence * 10 + (digit - DIGIT_0);
    }
    return sequence;
  }
}

interface StoreAnswer {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
  readonly domain?: unknown;
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly duplicate?: unknown;
}

/** Error code of JetStream: another write to the subject is being replicated in the cluster. */
const CONCURRENT = 10164;
/** Error code of JetStream: the stream, or its server, does not support schedules. */
const SCHEDULES_DISABLED = 10188;
/**
 * Error codes of JetStream: the server does not accept a pattern, target, ttl or time zone of a schedule, or a rollup
 * or ttl of a message.
 */
const INVALID: ReadonlySet<number> = new Set([10111, 10165, 10166, 10189, 10190, 10191, 10192, 10203, 10212, 10223]);

/** Returns the outcome of a message that the stream has refused: it is certainly not stored. */
export function refused(error: JetStreamRefusal, code: number | undefined, what: string): Appended {
  const because = `${what} did not store a message: ${error.message}`;
  switch (error.refusal) {
    case "lost race":
      if (code !== CONCURRENT) return { type: "conflict" };
      return notStoredNow(unavailable(because, { cause: error }));
    case "full":
      return notStoredNow(storeFull(what, error));
    case "too large":
      return neverStored(new CatgaError("TOO_LARGE", because, { cause: error }));
    case "busy":
    case "no stream":
    case "no responders":
      return notStoredNow(unavailable(because, { cause: error }));
  }
  if (code === SCHEDULES_DISABLED) return neverStored(new CatgaError("UNSUPPORTED", because, { cause: error }));
  if (INVALID.has(code ?? 0)) return neverStored(new CatgaError("INVALID_MESSAGE", because, { cause: error }));
  return neverStored(new CatgaError("UNAVAILABLE", because, { cause: error }));
}
