/** A codec for tests, whose keys are numbers. */
import type { PayloadCodec } from "../../src/contract/declaration/payload_codec.ts";

/** Calls of asynchronous codecs that have not settled. */
const open = new Set<Promise<unknown>>();

/** Resolves when no call of an asynchronous codec is under way: a node that has drained may have been reading. */
export async function codecsAtRest(): Promise<void> {
  while (open.size > 0) await Promise.all(open);
}

/** A codec of test keys: the id of the key, and bytes that it changes; synchronous, or not. */
export function keyCodec(keys: readonly number[], isAsync = false): PayloadCodec {
  const changed = (bytes: Uint8Array, key: number) => bytes.map((byte) => byte ^ key);
  const later = <T>(value: T) => {
    if (!isAsync) return value;
    const call = new Promise<T>((resolve) => setTimeout(() => resolve(value), Math.random() * 3));
    open.add(call);
    return call.finally(() => open.delete(call));
  };
  return {
    encode: (bytes) => later(new Uint8Array([keys[0], ...changed(bytes, keys[0])])),
    decode: ([key, ...bytes]) => {
      if (!keys.includes(key)) throw new Error(`no key ${key}`);
      return later(changed(new Uint8Array(bytes), key));
    },
  };
}
