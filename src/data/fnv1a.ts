/**
 * The FNV-1a hash of a text's UTF-16 code units: an unsigned number of 32 bits. Given the hash of a text as `seed`, it is
 * the hash of both texts, one after the other.
 */
export function fnv1a(text: string, seed = 0x811c9dc5): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
