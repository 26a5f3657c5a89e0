/** Texts as UTF-8, as messages and the store hold them, and their size in bytes. */

/** A text as UTF-8. */
export function encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The size of a text as UTF-8, in bytes. */
export function byteLength(text: string): number {
  return encode(text).length;
}

/** Whether a text has more than this many bytes as UTF-8. Encodes it only when its length leaves that open. */
export function exceeds(text: string, limit: number): boolean {
  return text.length * 3 > limit && byteLength(text) > limit;
}

const encoder = new TextEncoder();
