/**
 * Values as text, for other processes and for the store. Most are plain JSON. The text of a value that JSON would
 * change is `~` and JSON with tags (`tag.ts`): so a plain one is never searched for tags.
 */
import { CatgaError } from "../error.ts";
import { isTagged, MAP, readTag, SET, TILDE } from "./tag.ts";
import { MAX_DEPTH, Unsendable, valueText } from "./value_text.ts";

/**
 * The text of a value other than `undefined`. Throws an {@link Unsendable} for what cannot be sent; its path begins
 * with `root`.
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
  const why = error instanceof Unsendable ? error.message : "it cannot be read";
  return new CatgaError(code, `${what}${of === undefined ? "" : ` of ${of}`} cannot be sent: ${why}`, { cause: error });
}

function rootOf(code: "INVALID_MESSAGE" | "INVALID_RESPONSE"): string {
  return code === "INVALID_MESSAGE" ? "payload" : "result";
}

// Whether a value survives JSON, the look that every payload and answer gets before it is encoded; and whether parsed
// JSON is too deep.

/**
 * Whether `JSON.parse(JSON.stringify(value))` certainly equals `value`: strings, booleans, `null`, finite numbers other
 * than -0, and arrays and plain objects of these, nested at most 200 levels. Cheap, because almost everything is such a
 * value; `false` means that a closer look is needed.
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
      if (levels === 0) return false;
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
  // an inherited member that is no JSON leads to a closer look, which sees only the object's own
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    // a call less for most members: V8 does not inline a recursive one
    if (typeof member !== "string" && !isJsonAt(member, levels)) return false;
  }
  return true;
}

/** A cycle ends here, too. */
const MAX_LEVELS = 200;

/** Whether parsed JSON is nested deeper than values are that can be sent, with room for what stands around them. */
export function isTooDeep(parsed: unknown): boolean {
  return isDeeper(parsed, MAX_DEPTH + AROUND);
}

function isDeeper(parsed: unknown, levels: number): boolean {
  if (typeof parsed !== "object" || parsed === null) return false;
  if (levels === 0) return true;
  for (const member of Array.isArray(parsed) ? parsed : Object.values(parsed)) {
    if (typeof member === "object" && isDeeper(member, levels - 1)) return true;
  }
  return false;
}

/** Levels. */
const AROUND = 16;

// Reads JSON with tags (`tag.ts`): the values that they stand for, in place of the texts.

/**
 * The value of JSON with tags, parsed; arrays and objects in it are changed in place. Throws a `TypeError` for an
 * invalid tag, and for more than 1,000 levels.
 */
export function untag(parsed: unknown): unknown {
  return read(parsed, MAX_DEPTH);
}

function read(parsed: unknown, levels: number): unknown {
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
  // each is the object's own, also one whose key is `__proto__`
  for (const key of Object.keys(members)) members[key] = read(members[key], levels - 1);
  return members;
}

function pair(value: unknown): [unknown, unknown] {
  if (!Array.isArray(value) || value.length !== 2) throw new TypeError("an entry of a Map is not a pair");
  return [value[0], value[1]];
}
