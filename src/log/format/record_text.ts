/**
 * Common format of all texts stored for a subscription: a JSON object with its version. Lists of whole numbers are
 * written as short texts, because a commit holds thousands of numbers, mostly small ones. Anybody with access can
 * write such a text, so it is validated.
 */
import { isCount, isRecord } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";

/** Reason why a text that a newer version of Catga has written cannot be read. */
export const OTHER_VERSION = "of another version";

/**
 * Parses a text stored for a subscription. Returns a string that says what is wrong if the text is invalid. `newest`:
 * the newest version of this kind of text.
 */
export function readRecord(text: string, newest = 1): Readonly<Record<string, unknown>> | string {
  const value = parsedJson(text);
  if (value === undefined) return "no JSON";
  if (!isRecord(value)) return "no object";
  if (!isCount(value.v) || value.v === 0) return "no version";
  return value.v <= newest ? value : OTHER_VERSION;
}

/**
 * Encodes safe integers as a text. Each is written in digits of base 32, lowest first; all digits but the last have
 * 32 added; the lowest bit is the sign.
 */
export function writeNumbers(values: readonly number[]): string {
  let text = "";
  for (const value of values) {
    let rest = value < 0 ? -2 * value - 1 : 2 * value;
    for (; rest >= BASE; rest = Math.floor(rest / BASE)) text += ALPHABET[BASE + rest % BASE];
    text += ALPHABET[rest];
  }
  return text;
}

/** Decodes a text of {@link writeNumbers}; `undefined`: invalid. */
export function readNumbers(text: unknown): number[] | undefined {
  if (typeof text !== "string") return undefined;
  const numbers: number[] = [];
  let value = 0;
  let weight = 1;
  for (let i = 0; i < text.length; i++) {
    const digit = VALUES.get(text[i]);
    if (digit === undefined) return undefined;
    value += (digit % BASE) * weight;
    if (value > 2 * Number.MAX_SAFE_INTEGER) return undefined;
    weight *= BASE;
    if (digit >= BASE) continue;
    numbers.push(value % 2 === 0 ? value / 2 : -(value + 1) / 2);
    [value, weight] = [0, 1];
  }
  // the text is invalid if it ends in the middle of a number
  return weight === 1 ? numbers : undefined;
}

const BASE = 32;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES: ReadonlyMap<string, number> = new Map([...ALPHABET].map((digit, value) => [digit, value]));
