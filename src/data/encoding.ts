/**
 * Values as text, for other processes and for the store. Most are plain JSON. The text of a value that JSON would change is `~`
 * and JSON with tags (`tag.ts`): so a plain one is never searched for tags.
 */
import { CatgaError } from "../error.ts";
import { isJson } from "./is_json.ts";
import { isTagged, TILDE } from "./tag.ts";
import { Unsendable } from "./unsendable.ts";
import { untag } from "./untag.ts";
import { valueText } from "./value_text.ts";

/**
 * The text of a value other than `undefined`. Throws an {@link Unsendable} for what cannot be sent; its path begins with
 * `root`.
 */
export function encodeValue(value: unknown, root: string): string {
  try {
    if (isJson(value)) return JSON.stringify(value);
  } catch {
    // a getter threw, or the stack is full: what follows needs no stack, and finds out where
  }
  const { text, tagged, escaped } = valueText(value, "tagged", root);
  if (tagged) return TILDE + text;
  return escaped ? valueText(value, "json", root).text : text;
}

/** The value of a text. Throws a `SyntaxError` or `TypeError` if it is not one. */
export function decodeText(text: string): unknown {
  return isTagged(text) ? untag(JSON.parse(text.slice(1))) : JSON.parse(text);
}

/**
 * The text of a value, as {@link encodeValue} returns it. Throws a `CatgaError` with this code for what cannot be sent. Its
 * message begins with `what`, and the name of what it is `of`; `root` is how the path of a part begins.
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

/** The same as JSON for programs without Catga. */
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

/** The `CatgaError` of a value that cannot be sent. What a getter threw may hold secrets, and is not part of its message. */
export function cannotBeSent(
  error: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  what: string,
  of?: string,
): CatgaError {
  const why = error instanceof Unsendable ? error.message : "it cannot be read";
  return new CatgaError(code, `${what}${of === undefined ? "" : ` of ${of}`} cannot be sent: ${why}`, { cause: error });
}

function rootOf(code: "INVALID_MESSAGE" | "INVALID_RESPONSE"): string {
  return code === "INVALID_MESSAGE" ? "payload" : "result";
}
