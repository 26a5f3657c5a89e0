/** Texts as they go over the wire and into the store: their size there. */

/** A text as it goes over the wire. */
export function encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The size of a text on the wire, in bytes. */
export function byteLength(text: string): number {
  return encode(text).length;
}

/** Whether a text is longer than so many bytes of UTF-8. */
export function exceeds(text: string, limit: number): boolean {
  return text.length * 3 > limit && byteLength(text) > limit;
}

const encoder = new TextEncoder();
