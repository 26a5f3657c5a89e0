/** A codec for payloads: encodes their bytes before they leave the process, and decodes them after they arrive. */
import { checkMethods, isRecord, show } from "../../data/checks.ts";
import type { MaybePromise } from "../schemas/schema.ts";

/**
 * Turns bytes into bytes, for encryption or compression of payloads, results and states on the wire and in the store.
 * Keys, names, ids and headers stay readable. The encoded bytes must say how to decode them, for instance by the id of
 * a key at their beginning, so that keys can be rotated.
 */
export interface PayloadCodec {
  /** Encodes the bytes of a payload. It should not change its argument. */
  encode(bytes: Uint8Array<ArrayBuffer>, of: PayloadOf): MaybePromise<Uint8Array>;
  /**
   * Returns the bytes that `encode` was given, or other JSON text in their place, such as `null` for a payload whose
   * key was thrown away. Throws or rejects if it cannot decode its argument. `of` is what `encode` was given with it.
   */
  decode(bytes: Uint8Array<ArrayBuffer>, of: PayloadOf): MaybePromise<Uint8Array>;
}

/**
 * The message that a payload is stored with, so that a codec can have a key for each person. Both are `undefined`
 * between nodes, where several messages are encoded as one, in the cache, for results of idempotent commands, and for a
 * payload with which an operator replays a dead letter, until that is carried out.
 */
export interface PayloadOf {
  /**
   * Name of the contract: of a durable event, a queued command, an entity's event (`Cart.Added`) or command; of a
   * snapshot the entity's name; of what a run records the workflow's name.
   */
  readonly contract: string | undefined;
  /**
   * The message's key, the entity's id, or the run's id; `undefined`: the message has no key. The start of a run for
   * later has none until the run begins.
   */
  readonly key: string | undefined;
}

/**
 * Throws a `TypeError` if the codec is invalid. `name`: the option's name, for the error.
 * @decides options of `catga({ codec })`: what a codec has to provide
 */
export function checkCodec(name: string, codec: PayloadCodec): void {
  if (!isRecord(codec)) throw new TypeError(`${name} must have encode and decode; got ${show(codec)}`);
  checkMethods(name, codec, ["encode", "decode"]);
}
