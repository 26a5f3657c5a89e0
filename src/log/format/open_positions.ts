/**
 * What a subscription's record says of messages that are not done, and its text: a leader writes up to 9,000 of them ten times a second.
 * Those in the same state stand together, each as its distance from the one before: three characters, or one within a group.
 */

/** A message that is not done. */
export type OpenEntry = readonly [
  position: number,
  /** How many attempts have begun and count. */
  attempts: number,
  /** {@link RUNNING} and {@link SPARED}, added up. */
  state: number,
];

/** The last attempt is under way; the others have failed. */
export const RUNNING = 1;
/** An attempt was not counted, because its outcome went with its leader: that happens once. */
export const SPARED = 2;

/** What stands in the record: attempts, state, and the positions as a text. */
export type OpenText = readonly [attempts: number, state: number, positions: string];

/** Writes entries in the order of their positions. */
export function writeOpen(entries: readonly OpenEntry[]): OpenText[] {
  const groups = new Map<number, { attempts: number; state: number; last: number; texts: string[] }>();
  for (const [position, attempts, state] of entries) {
    const key = attempts * STATES + state;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, group = { attempts, state, last: 0, texts: [] });
    group.texts.push(digits(position - group.last));
    group.last = position;
  }
  return [...groups.values()].map(({ attempts, state, texts }) => [attempts, state, texts.join("")]);
}

/** Reads what {@link writeOpen} wrote, by position; `undefined` for what it did not. */
export function readOpen(value: unknown): OpenEntry[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const found = new Map<number, OpenEntry>();
  for (const group of value) {
    if (!Array.isArray(group) || group.length !== 3) return undefined;
    const [attempts, state, text] = group;
    if (!Number.isSafeInteger(attempts) || attempts < 0 || !Number.isInteger(state) || state < 0 || state >= STATES) {
      return undefined;
    }
    if (typeof text !== "string") return undefined;
    let position = 0;
    let distance = 0;
    let weight = 1;
    for (let i = 0; i < text.length; i++) {
      const digit = VALUES.get(text[i]);
      if (digit === undefined) return undefined;
      distance += (digit % BASE) * weight;
      if (!Number.isSafeInteger(distance)) return undefined;
      weight *= BASE;
      if (digit >= BASE) continue;
      position += distance;
      if (!Number.isSafeInteger(position)) return undefined;
      found.set(position, [position, attempts, state]);
      distance = 0;
      weight = 1;
    }
    // it ends within a number
    if (weight !== 1) return undefined;
  }
  return [...found.values()].sort(([a], [b]) => a - b);
}

/** A number as digits of base 32, the least first; all but the last with 32 added. */
function digits(value: number): string {
  let text = "";
  for (; value >= BASE; value = Math.floor(value / BASE)) text += ALPHABET[BASE + value % BASE];
  return text + ALPHABET[value];
}

const BASE = 32;
const STATES = 4;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES: ReadonlyMap<string, number> = new Map([...ALPHABET].map((digit, value) => [digit, value]));
