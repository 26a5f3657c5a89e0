/** Text of other processes, for people and their terminals: nothing in it moves a cursor, ends a line, or hides. */
import { stringify } from "./json.ts";

/**
 * The text on one line, with `\u{…}` in the place of what a reader does not see as it is: controls (C0, C1) and line breaks,
 * characters that change the direction of the text or take no room, halves of surrogate pairs, and the fifth and any further
 * of the marks on one letter.
 */
export function printable(text: string): string {
  return text.replace(HIDDEN, escaped);
}

/**
 * A value as JSON in which the same characters are escaped as JSON has it, so that it is safe to print and means the same.
 * `undefined` has none. With `indent` over several lines, where that is possible: on one when it is nested too deeply.
 */
export function printableJson(value: unknown, indent?: number): string | undefined {
  // what JSON writes unescaped stands in strings; the controls below U+0020 in it are line breaks of its own
  return json(value, indent)?.replace(HIDDEN_IN_JSON, jsonEscaped);
}

const MARKS = "(?<=\\p{M}{4})\\p{M}";
/** Controls, formats, line and paragraph separators, lone surrogates, and whatever fonts leave out. */
const HIDDEN = new RegExp(`[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]|${MARKS}`, "gu");
const HIDDEN_IN_JSON = new RegExp(
  `[\\x7f-\\x9f\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]|${MARKS}`,
  "gu",
);

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** One of above U+FFFF as the two halves that JSON knows. */
function jsonEscaped(character: string): string {
  let text = "";
  for (let i = 0; i < character.length; i++) text += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return text;
}

function json(value: unknown, indent: number | undefined): string | undefined {
  const text = stringify(value);
  if (indent === undefined || text === undefined || depthOf(text) > MAX_INDENTED) return text;
  return JSON.stringify(value, undefined, indent);
}

function depthOf(json: string): number {
  let [depth, deepest] = [0, 0];
  for (const [bracket] of json.replace(/"(?:[^"\\]|\\.)*"/g, "").matchAll(/[[{\]}]/g)) {
    depth += bracket === "[" || bracket === "{" ? 1 : -1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

/** Levels: the spaces before the lines grow with the square of the depth. */
const MAX_INDENTED = 100;
