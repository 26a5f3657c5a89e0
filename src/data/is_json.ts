/**
 * Two checks: that a value survives JSON, made for every payload and answer before it is encoded; and that parsed JSON
 * is not nested too deeply.
 */
import { STORED_DEPTH } from "./value_text.ts";

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
