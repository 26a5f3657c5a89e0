/**
 * Encodes values as text (including `Date`, `Map`, `bigint`, `Temporal` and the like), for other processes and for the
 * store. Most texts are plain JSON. If JSON would change the value, its text is `~` followed by JSON with tags (texts
 * that stand for other types), so that a plain text need not be searched for tags.
 */
import { CatgaError } from "../error.ts";
import { MAX_DEPTH, STORED_DEPTH, valueText } from "./value_text.ts";
import { isJson } from "./is_json.ts";
import { isTagged, TILDE } from "./tags.ts";
import { read } from "./untag.ts";
import { decode } from "./utf8.ts";
import { UnsendableError } from "./unsendable.ts";

/**
 * Encodes a value other than `undefined`. Throws an {@link UnsendableError} if a part of it cannot be sent; the path in
 * the error begins with `root`. `levels`: maximum depth; default 1,000.
 */
export function encodeValue(value: unknown, root: string, levels = MAX_DEPTH): string {
  try {
    if (isJson(value)) return JSON.stringify(value);
  } catch {
    // a getter of the value threw, or the stack is full: `valueText` below, which needs no stack, finds the part that
    // cannot be sent
  }
  const { text, tagged, escaped } = valueText(value, "tagged", root, levels);
  if (tagged) return TILDE + text;
  return escaped ? valueText(value, "json", root, levels).text : text;
}

/** Decodes a value from its text. Throws a `SyntaxError` or `TypeError` if the text is invalid. */
export function decodeText(text: string): unknown {
  return isTagged(text) ? read(JSON.parse(text.slice(1)), STORED_DEPTH) : JSON.parse(text);
}

/** Parses a text, or bytes in UTF-8, as JSON; `undefined` if it is not valid. */
export function parsedJson(data: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof data === "string" ? data : decode(data));
  } catch {
    return undefined; // the caller reports invalid JSON
  }
}

/**
 * Encodes a value as text, like {@link encodeValue}, but throws a `CatgaError` with this code for a value that cannot
 * be sent. The error's message begins with `what` and `of`, the name of the message.
 */
export function toText(
  value: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  what: string,
  of?: string,
): string {
  try {
    return encodeValue(value, rootOf(code));
  } catch (error) {
    throw cannotBeSent(error, code, what, of);
  }
}

/** Encodes a value as plain JSON, for programs that do not use Catga. */
export function toJson(
  value: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  what: string,
  of?: string,
): string {
  try {
    return isJson(value) ? JSON.stringify(value) : valueText(value, "json", rootOf(code)).text;
  } catch (error) {
    throw cannotBeSent(error, code, what, of);
  }
}

/**
 * Makes the `CatgaError` for a value that cannot be sent. The text of an error that a getter threw is left out, because
 * it may contain secrets.
 */
export function cannotBeSent(
  error: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  what: string,
  of?: string,
): CatgaError {
  const why = error instanceof UnsendableError ? error.message : "it cannot be read";
  return new CatgaError(code, `${what}${of === undefined ? "" : ` of ${of}`} cannot be sent: ${why}`, { cause: error });
}

function rootOf(code: "INVALID_MESSAGE" | "INVALID_RESPONSE"): string {
  return code === "INVALID_MESSAGE" ? "payload" : "result";
}
