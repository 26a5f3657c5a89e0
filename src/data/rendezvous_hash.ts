/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): every node has a weight for every key, and the node with the
 * highest weight gets the key, so that a node that joins or leaves moves only its own keys.
 */

/** Returns the weight of a node for a key: 32 bits, the same on every machine. */
export function weight(key: string, node: string): number {
  return mix(fnv1a(node, fnv1a("/", fnv1a(key))));
}

/**
 * Mixes the bits of a hash (the finalizer of MurmurHash3, Appleby): FNV alone leaves the weights of similar ids close
 * together.
 */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * Returns the FNV-1a hash of a text's UTF-16 code units: an unsigned number of 32 bits. With the hash of another text
 * as `seed`, it is the hash of both texts, one after the other.
 */
export function fnv1a(text: string, seed = 0x811c9dc5): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
