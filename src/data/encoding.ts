/**
 * Values as text (`Date`, `Map`, `bigint`, `Temporal` and the like too), for other processes and for the store. Most
 * are plain JSON. The text of a value that JSON would change is `~` and JSON with tags: so a plain one is never
 * searched for tags.
 */
import { CatgaError } from "../error.ts";
import { MAX_DEPTH, STORED_DEPTH, valueText } from "./value_text.ts";
import { isJson } from "./is_json.ts";
import { isTagged, TILDE } from "./tags.ts";
import { read } from "./untag.ts";
import { decode } from "./utf8.ts";
import { UnsendableError } from "./unsendable.ts";

/**
 * The text of a value other than `undefined`. Throws an {@link UnsendableError} for what cannot be sent; its path
 * begins with `root`. `levels`: how many it may have; 1,000.
 */
export function encodeValue(value: unknown, root: string, levels = MAX_DEPTH): string {
  try {
    if (isJson(value)) return JSON.stringify(value);
  } catch {
    // a getter threw, or the stack is full: what follows needs no stack, and finds out where
  }
  const { text, tagged, escaped } = valueText(value, "tagged", root, levels);
  if (tagged) return TILDE + text;
  return escaped ? valueText(value, "json", root, levels).text : text;
}

/** The value of a text. Throws a `SyntaxError` or `TypeError` if it is not one. */
export function decodeText(text: string): unknown {
  return isTagged(text) ? read(JSON.parse(text.slice(1)), STORED_DEPTH) : JSON.parse(text);
}

/** Parses a text, or bytes in UTF-8, as JSON; `undefined` if it is not valid. */
export function parsedJson(data: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof data === "string" ? data : decode(data));
  } catch {
    return undefined; // whoever asks reports it
  }
}

/**
 * The text of a value, as {@link encodeValue} returns it. Throws a `CatgaError` with this code for what cannot be sent.
 * Its message begins with `what`, and the name of what it is `of`; `root` is how the path of a part begins.
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

/** A value as JSON for programs without Catga. */
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
 * The `CatgaError` of a value that cannot be sent. What a getter threw may hold secrets, and is not part of its
 * message.
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
