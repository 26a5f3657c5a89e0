/** Decodes JSON with tags (texts that stand for values that JSON lacks): replaces the tags by their values. */
import { MAX_DEPTH } from "./value_text.ts";
import { isTagged, MAP, readTag, SET } from "./tags.ts";

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
