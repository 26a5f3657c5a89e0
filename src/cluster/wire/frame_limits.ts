/**
 * Limits for the sizes of messages: NATS accepts messages of up to its `max_payload`, and a new frame is begun well
 * before that size.
 */
import { byteLength, exceeds } from "../../data/utf8.ts";
import { CatgaError } from "../../error.ts";

/** Returns the size of the largest payload (with its meta), or answer, that fits into a frame, in bytes. */
export function payloadLimit(maxPayload: number): number {
  return maxPayload - FRAME_OVERHEAD;
}

/** Returns the length at which a frame is sent and the next one begun, in UTF-16 code units. */
export function frameLimit(maxPayload: number): number {
  // a code unit is at most 3 bytes of UTF-8
  return Math.min(FRAME_LENGTH, Math.floor(maxPayload / 3) - FRAME_OVERHEAD);
}

/** Returns the error for a text that is longer than `limit` bytes; `undefined` if it is not longer. */
export function tooLarge(
  what: "the payload" | "payload and headers" | "the answer",
  contract: string,
  text: string,
  limit: number,
): CatgaError | undefined {
  if (!exceeds(text, limit)) return undefined;
  const verb = what === "payload and headers" ? "are" : "is";
  const message = `${what} of ${contract} ${verb} ${byteLength(text)} bytes; the server takes ${limit} at most: ` +
    "store what is large elsewhere and send a reference, or raise max_payload in the server's configuration";
  return new CatgaError("TOO_LARGE", message);
}

/**
 * Maximum length of a frame, in UTF-16 code units. Larger frames are no faster, and delay the frames behind them
 * (docs/internals/measurements.md).
 */
export const FRAME_LENGTH = 64_000;
const FRAME_OVERHEAD = 2_048; // bytes: subject, name, and the text around a payload, with room to spare
