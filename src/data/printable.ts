/**
 * Makes text from other processes safe for terminals and logs: without characters that move the cursor, line breaks, or
 * invisible characters.
 */
import { STORED_DEPTH, UnsendableError, valueText } from "./value_text.ts";

/**
 * Returns the text on one line, with `\u{…}` in place of characters that a reader cannot see: control characters and
 * line breaks, characters that change the direction of the text or have no width, halves of surrogate pairs, and the
 * fifth and further marks on one letter.
 */
export function printable(text: string): string {
  return text.replace(HIDDEN, escaped);
}

/**
 * Encodes a value as JSON (the form `json` of `value_text.ts`) in which characters that a reader cannot see are
 * escaped: safe to print, with the same meaning. Returns `undefined` for `undefined`. With `indent`, on several lines,
 * or on one line if the value is nested too deeply for that. A value that cannot be shown becomes a text in
 * parentheses.
 */
export function printableJson(value: unknown, indent?: number): string | undefined {
  // only strings contain hidden characters, apart from the line breaks that `indent` makes: these stay, because
  // HIDDEN_IN_JSON matches no character below U+0020 (JSON has escaped all of those in strings already)
  return json(value, indent)?.replace(HIDDEN_IN_JSON, jsonEscaped);
}

const MARKS = "(?<=\\p{M}{4})\\p{M}";
/**
 * Matches characters that a reader cannot see: controls, formats, line and paragraph separators, lone surrogates,
 * characters without a glyph, and the fifth and further marks on one letter.
 */
const HIDDEN = new RegExp(`[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]|${MARKS}`, "gu");
const HIDDEN_IN_JSON = new RegExp(
  `[\\x7f-\\x9f\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]|${MARKS}`,
  "gu",
);

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** Escapes a character as in JSON; one above U+FFFF becomes two escapes. */
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

/** Maximum depth of nesting for indented text, whose number of spaces grows with the square of the depth. */
const MAX_INDENTED = 100;

/** Lists the first `max` names, and says how many more there are. */
export function listed(names: readonly string[], separator = ", ", max = 3): string {
  return names.slice(0, max).join(separator) + (names.length > max ? ` and ${names.length - max} more` : "");
}

/** Names a message in a log line: its id, and the id of the first message of its chain if that is another. */
export function messageLabel(id: string, correlationId: string | undefined): string {
  return correlationId === undefined || correlationId === id
    ? `message ${id}`
    : `message ${id}, correlation ${correlationId}`;
}
