/**
 * Text of other processes, made safe for terminals and logs: nothing in it moves a cursor, ends a line, or is
 * invisible.
 */
import { STORED_DEPTH, valueText } from "./value_text.ts";
import { UnsendableError } from "./unsendable.ts";

/**
 * The text on one line, with `\u{…}` in place of characters that a reader cannot see: controls (C0, C1) and line
 * breaks, characters that change the direction of the text or have no width, halves of surrogate pairs, and the marks
 * on one letter from the fifth on.
 */
export function printable(text: string): string {
  return text.replace(HIDDEN, escaped);
}

/**
 * A value as JSON (the form `json` of `encoding.ts`) in which the same characters are escaped as JSON escapes them:
 * safe to print, and of the same meaning. `undefined` for `undefined`. With `indent` on several lines, or on one if it
 * is nested too deeply for that. A text in parentheses stands for what cannot be shown.
 */
export function printableJson(value: unknown, indent?: number): string | undefined {
  // only strings hold such characters; JSON escapes those below U+0020 there, so that others are its own line breaks
  return json(value, indent)?.replace(HIDDEN_IN_JSON, jsonEscaped);
}

const MARKS = "(?<=\\p{M}{4})\\p{M}";
/** Controls, formats, line and paragraph separators, lone surrogates, and characters without a glyph. */
const HIDDEN = new RegExp(`[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]|${MARKS}`, "gu");
const HIDDEN_IN_JSON = new RegExp(
  `[\\x7f-\\x9f\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]|${MARKS}`,
  "gu",
);

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** A character above U+FFFF becomes two escapes, as in JSON. */
function jsonEscaped(character: string): string {
  let text = "";
  for (let i = 0; i < character.length; i++) text += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return text;
}

function json(value: unknown, indent: number | undefined): string | undefined {
  if (value === undefined) return undefined;
  let text: string;
  try {
    ({ text } = valueText(value, "json", "value", STORED_DEPTH));
  } catch (error) {
    if (!(error instanceof UnsendableError)) throw error;
    text = JSON.stringify(`(${error.why})`);
  }
  return indent === undefined || depthOf(text) > MAX_INDENTED
    ? text
    : JSON.stringify(JSON.parse(text), undefined, indent);
}

function depthOf(json: string): number {
  let [depth, deepest] = [0, 0];
  for (const [bracket] of json.replace(/"(?:[^"\\]|\\.)*"/g, "").matchAll(/[[{\]}]/g)) {
    depth += bracket === "[" || bracket === "{" ? 1 : -1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

/** Levels: the spaces of an indented text grow with the square of the depth. */
const MAX_INDENTED = 100;

/** The first three, and how many more there are. */
export function listed(names: readonly string[], separator = ", "): string {
  return names.slice(0, 3).join(separator) + (names.length > 3 ? ` and ${names.length - 3} more` : "");
}

/** A message in a log line: its id, and that of the first message of its chain when it is another. */
export function messageLabel(id: string, correlationId: string | undefined): string {
  return correlationId === undefined || correlationId === id
    ? `message ${id}`
    : `message ${id}, correlation ${correlationId}`;
}
