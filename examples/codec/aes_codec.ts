/** A codec that encrypts payloads with AES-256-GCM, by WebCrypto, with keys that are rotated. */
import type { PayloadCodec } from "@catga/catga";

/**
 * Makes the codec. An encrypted payload is the key's id (4 bytes), a nonce (12 bytes) and the ciphertext. `keys`, by
 * id: the first one encrypts, all of them decrypt.
 */
export function aesCodec(keys: ReadonlyMap<number, CryptoKey>): PayloadCodec {
  const [[current, encrypting]] = keys;
  return {
    async encode(bytes) {
      const head = new Uint8Array(16);
      new DataView(head.buffer).setUint32(0, current);
      const iv = crypto.getRandomValues(head.subarray(4));
      const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, encrypting, bytes);
      const made = new Uint8Array(head.length + sealed.byteLength);
      made.set(head);
      made.set(new Uint8Array(sealed), head.length);
      return made;
    },
    async decode(bytes) {
      const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
      const key = keys.get(id);
      if (key === undefined) throw new Error(`the key ${id} is not known here`);
      return new Uint8Array(
        await crypto.subtle.decrypt({ name: "AES-GCM", iv: bytes.subarray(4, 16) }, key, bytes.subarray(16)),
      );
    },
  };
}
