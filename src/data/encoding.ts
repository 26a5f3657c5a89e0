/**
 * Encodes values as text (including `Date`, `Map`, `bigint`, `Temporal` and the like), for other processes and for the
 * store. Most texts are plain JSON. If JSON would change the value, its text is `~` followed by JSON with tags (texts
 * that stand for other types), so that a plain text need not be searched for tags. The texts are read here, too.
 */
import { CatgaError } from "../error.ts";
import { MAX_DEPTH, STORED_DEPTH, UnsendableError, valueText } from "./value_text.ts";
import { isTagged, MAP, readTag, SET, TILDE } from "./tags.ts";
import { decode } from "./utf8.ts";

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

/**
 * Returns true if `JSON.parse(JSON.stringify(value))` certainly equals `value`: strings, booleans, `null`, finite
 * numbers other than -0, and arrays and plain objects of these, nested at most 200 levels. Cheap, because nearly all
 * values are of this kind; false means that a closer check is needed.
 */
export function isJson(value: unknown): boolean {
  return isJsonAt(value, MAX_LEVELS);
}

function isJsonAt(value: unknown, levels: number): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return value === 0 ? 1 / value > 0 : value - value === 0;
    case "object":
      if (value === null) return true;
      // JSON.stringify would call a `toJSON`, even an inherited or non-enumerable one
      if (levels === 0 || typeof (value as { toJSON?: unknown }).toJSON === "function") return false;
      return Array.isArray(value) ? isJsonArray(value, levels - 1) : isJsonObject(value, levels - 1);
    default:
      return false;
  }
}

function isJsonArray(value: readonly unknown[], levels: number): boolean {
  for (let i = 0; i < value.length; i++) {
    const item = value[i];
    if (typeof item !== "string" && !isJsonAt(item, levels)) return false;
  }
  return true;
}

function isJsonObject(value: object, levels: number): boolean {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  // inherited members are visited, too: an inherited member that is not JSON leads to the closer check, which sees only
  // own members
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    // the check for strings saves a call for most members, because V8 does not inline a recursive function
    if (typeof member !== "string" && !isJsonAt(member, levels)) return false;
  }
  return true;
}

/** Maximum depth of nesting for which the answer can be true; also ends cycles. */
const MAX_LEVELS = 200;

/** Returns true if parsed JSON is nested more deeply than any value that can be sent, its envelope included. */
export function isTooDeep(parsed: unknown): boolean {
  return isDeeper(parsed, STORED_DEPTH);
}

function isDeeper(parsed: unknown, levels: number): boolean {
  if (typeof parsed !== "object" || parsed === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(parsed)) {
    for (const member of parsed) if (isDeeper(member, levels - 1)) return true;
    return false;
  }
  // members are not listed by `Object.values`, which would allocate a list for each object of a long message
  for (const key in parsed) if (isDeeper((parsed as Record<string, unknown>)[key], levels - 1)) return true;
  return false;
}

/**
 * Decodes parsed JSON with tags; changes its arrays and objects in place. Throws a `TypeError` for an invalid tag, and
 * for more than 1,000 levels.
 */
export function untag(parsed: unknown): unknown {
  return read(parsed, MAX_DEPTH);
}

export function read(parsed: unknown, levels: number): unknown {
  if (typeof parsed === "string") return isTagged(parsed) ? readTag(parsed) : parsed;
  if (typeof parsed !== "object" || parsed === null) return parsed;
  if (levels === 0) throw new TypeError(`it is nested more than ${MAX_DEPTH} levels deep`);
  if (Array.isArray(parsed)) {
    const [head] = parsed;
    if (head === MAP) return new Map(parsed.slice(1).map((item) => pair(read(item, levels - 1))));
    if (head === SET) return new Set(parsed.slice(1).map((item) => read(item, levels - 1)));
    for (let i = 0; i < parsed.length; i++) parsed[i] = read(parsed[i], levels - 1);
    return parsed;
  }
  const members = parsed as Record<string, unknown>;
  // the assignment is safe, because each member is the object's own, even one with the key `__proto__`
  for (const key of Object.keys(members)) members[key] = read(members[key], levels - 1);
  return members;
}

function pair(value: unknown): [unknown, unknown] {
  if (!Array.isArray(value) || value.length !== 2) throw new TypeError("an entry of a Map is not a pair");
  return [value[0], value[1]];
}
