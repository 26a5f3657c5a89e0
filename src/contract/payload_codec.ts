/** A codec around payloads: what an app does with their bytes before they leave the process, and after they arrive. */
import { checkMethods, isRecord, show } from "../data/checks.ts";
import type { MaybePromise } from "./schema.ts";

/**
 * Bytes to bytes, for encryption or compression: around payloads, results and states on the wire and in the store.
 * Keys, names, ids and headers stay readable. Whoever decodes needs to know from the bytes themselves how, such as by
 * the id of a key at their beginning: so keys can be rotated.
 */
export interface PayloadCodec {
  /** Makes bytes of those of a payload. Should not change its argument. */
  encode(bytes: Uint8Array<ArrayBuffer>): MaybePromise<Uint8Array>;
  /** Returns what `encode` was given; throws or rejects for other bytes. */
  decode(bytes: Uint8Array<ArrayBuffer>): MaybePromise<Uint8Array>;
}

/** Throws a `TypeError` for a codec that is none. */
export function checkCodec(name: string, codec: PayloadCodec): void {
  if (!isRecord(codec)) throw new TypeError(`${name} must have encode and decode; got ${show(codec)}`);
  checkMethods(name, codec, ["encode", "decode"]);
}
