/** A codec for payloads: encodes their bytes before they leave the process, and decodes them after they arrive. */
import { checkMethods, isRecord, show } from "../data/checks.ts";
import type { MaybePromise } from "./schema.ts";

/**
 * Turns bytes into bytes, for encryption or compression of payloads, results and states on the wire and in the store.
 * Keys, names, ids and headers stay readable. The encoded bytes must say how to decode them, for instance by the id of
 * a key at their beginning, so that keys can be rotated.
 */
export interface PayloadCodec {
  /** Encodes the bytes of a payload. It should not change its argument. */
  encode(bytes: Uint8Array<ArrayBuffer>): MaybePromise<Uint8Array>;
  /** Returns the bytes that `encode` was given; throws or rejects if it cannot decode its argument. */
  decode(bytes: Uint8Array<ArrayBuffer>): MaybePromise<Uint8Array>;
}

/**
 * Throws a `TypeError` if the codec is invalid. `name`: the option's name, for the error.
 * @decides options of `catga({ codec })`: what a codec has to provide
 */
export function checkCodec(name: string, codec: PayloadCodec): void {
  if (!isRecord(codec)) throw new TypeError(`${name} must have encode and decode; got ${show(codec)}`);
  checkMethods(name, codec, ["encode", "decode"]);
}
