/**
 * Sizes that fit into a message, and the error for what does not fit. nats-server takes messages of up to its
 * `max_payload`; around a value stand a subject, a name, headers, the text of a frame. Each function takes the server's
 * limit and returns that of a value, in bytes:
 *
 * | value                                    | limit                     | what stands around it                            |
 * | ---------------------------------------- | ------------------------- | ------------------------------------------------ |
 * | a payload with its meta, an answer       | {@link payloadLimit}      | subject, name, the text of the frame             |
 * | a message of the log                     | {@link storedLimit}       | a request to run it, or its dead letter          |
 * | the messages of one request to run them  | {@link batchLimit}        | as much again: names, keys and meta of each      |
 * | a value in an entry of a run             | {@link entryLimit}        | the entry, and others of the same append         |
 * | a message to a run, by another process   | {@link noticeLimit}       | its next life, which hands the message over      |
 * | a value in the cache                     | {@link cacheLimit}        | its key, a nonce, a fence, headers               |
 * | a message before a codec encodes it      | {@link unsealedLimit}     | base64, and what the codec adds to each payload  |
 * | the answer to a question about a node    | {@link nodeAnswerLimit}   | the frame, after {@link payloadLimit}            |
 *
 * The limit of a frame is `frameLimit` of `src/cluster/wire/frame_writer.ts`: a frame is ended before it is full.
 *
 * @module
 */
import { CatgaError } from "../error.ts";
import { byteLength, exceeds } from "./utf8.ts";

export function payloadLimit(maxPayload: number): number {
  return maxPayload - MESSAGE_OVERHEAD;
}

export function storedLimit(maxPayload: number): number {
  return maxPayload - Math.min(STORED_OVERHEAD, Math.floor(maxPayload / 4));
}

export function batchLimit(maxPayload: number): number {
  return maxPayload / 2;
}

export function entryLimit(maxPayload: number): number {
  return maxPayload - ENTRY_OVERHEAD;
}

export function noticeLimit(maxPayload: number): number {
  return maxPayload - NOTICE_OVERHEAD;
}

export function cacheLimit(maxPayload: number, key: string): number {
  return maxPayload - Math.max(MESSAGE_OVERHEAD, byteLength(JSON.stringify(key)) + CACHED_OVERHEAD);
}

export function unsealedLimit(maxPayload: number): number {
  return Math.floor(maxPayload * UNSEALED_PART) - Math.min(SEALED_OVERHEAD, maxPayload >> 3);
}

/** Takes the limit of a payload. */
export function nodeAnswerLimit(payloadLimit: number): number {
  return Math.min(LARGEST_NODE_ANSWER, payloadLimit - NODE_ANSWER_OVERHEAD);
}

/** Maximum size of a message without its payload, in bytes: subject, name, and the text around the payload. */
export const MESSAGE_OVERHEAD = 2_048;
const STORED_OVERHEAD = 16_384; // bytes; a quarter of the message, where the server takes very small ones only
const ENTRY_OVERHEAD = 8_192; // bytes
const NOTICE_OVERHEAD = 512; // bytes
const CACHED_OVERHEAD = 512; // bytes, besides the key
const UNSEALED_PART = 0.7; // base64 makes 4 bytes of 3
const SEALED_OVERHEAD = 40_960; // bytes that encoding adds to one message, which has at most 512 payloads
const LARGEST_NODE_ANSWER = 262_144; // bytes: some 1,000 contracts
const NODE_ANSWER_OVERHEAD = 256; // bytes

/** The verb of the advice for a value that is too large: "store it elsewhere and … a reference". */
export type UseOfValue = "send" | "publish" | "emit" | "return" | "keep" | "record";

/** Returns why a value is not taken, and what to do: `what` with its size and the limit, in bytes. */
export function whyTooLarge(what: string, size: number, limit: number, use: UseOfValue): string {
  // what an outbox takes does not depend on the server
  const raise = use === "record" ? "" : ", or raise max_payload in the server's configuration";
  return `${what} has ${size} bytes; at most ${limit} fit into a message: store what is large elsewhere and ${use} ` +
    `a reference${raise}`;
}

/** Makes the error for a value that does not fit. */
export function tooLarge(what: string, size: number, limit: number, use: UseOfValue): CatgaError {
  return new CatgaError("TOO_LARGE", whyTooLarge(what, size, limit, use), { details: { size, limit } });
}

/** Returns the error for a text that does not fit; `undefined`: it does. */
export function unlessFits(what: string, text: string, limit: number, use: UseOfValue): CatgaError | undefined {
  return exceeds(text, limit) ? tooLarge(what, byteLength(text), limit, use) : undefined;
}

/** Returns the name of what a send of a contract has to fit in, for {@link unlessFits}. */
export function payloadName(contract: string, hasHeaders: boolean): string {
  return hasHeaders ? `the payload of ${contract}, with its headers,` : `the payload of ${contract}`;
}
