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

/** The text of UTF-8. Throws a `TypeError` for other bytes. */
export function decode(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  // a strict decoder takes twice as long (Deno, measured): it decodes only what it may refuse
  return text.includes(REPLACEMENT) ? strict.decode(bytes) : text;
}

const REPLACEMENT = "\ufffd"; // decoded in place of invalid UTF-8
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const strict = new TextDecoder("utf-8", { fatal: true });
