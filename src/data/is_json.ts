/**
 * Checks that a value survives JSON, for every payload and answer before it is encoded; and that parsed JSON is not
 * too deep.
 */
import { STORED_DEPTH } from "./value_text.ts";

/**
 * Returns true if `JSON.parse(JSON.stringify(value))` certainly equals `value`: strings, booleans, `null`, finite
 * numbers other than -0, and arrays and plain objects of these, nested at most 200 levels. Cheap, because almost
 * everything is such a value; `false` means that a closer look is needed.
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
      // JSON.stringify would call it, also one that is inherited or not enumerable
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

/**
 * Returns true if parsed JSON is nested deeper than values are that can be sent, with room for what stands around them.
 */
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
  // for all of a long message: `Object.values` would make a list of each object
  for (const key in parsed) if (isDeeper((parsed as Record<string, unknown>)[key], levels - 1)) return true;
  return false;
}
