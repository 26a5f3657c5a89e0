/** Random numbers from a seed: the same sequence each time. */
import type { Random } from "../ports/clock.ts";

/**
 * Returns a source of numbers in [0, 1) with 32 random bits, the same sequence for the same `seed` (a safe integer).
 * The algorithm is sfc32 of Chris Doty-Humphrey's PractRand, with its state made from the seed by splitmix32. Not for
 * secrets.
 */
export function seededRandom(seed: number): Random {
  if (!Number.isSafeInteger(seed)) throw new TypeError(`a seed is a safe integer; got ${seed}`);
  const spread = splitmix32((seed | 0) ^ Math.imul(Math.floor(seed / 4_294_967_296), 0x9e3779b1));
  let [a, b, c, counter] = [spread(), spread(), spread(), 1];
  const next = () => {
    const drawn = (a + b + counter++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + drawn | 0;
    return (drawn >>> 0) / 4_294_967_296;
  };
  // 12 rounds, as in PractRand, so that the sequences of neighbouring seeds diverge
  for (let i = 0; i < 12; i++) next();
  return next;
}

function splitmix32(state: number): () => number {
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return mixed ^ (mixed >>> 15);
  };
}
