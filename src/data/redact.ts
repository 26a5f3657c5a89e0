/**
 * Payloads as tools show them: without the members that their contract names as secret. The paths come with the stored
 * message, which anybody may have written: they are bounded, and what cannot be read hides the whole payload.
 */

/** The text that stands in place of what is hidden. */
export const HIDDEN = "(hidden)";

/** The most paths of a contract, and the most characters of one. */
export const MAX_PATHS = 32;
export const MAX_PATH_LENGTH = 256;

/** Paths of members that are hidden, or all of the payload. */
export type Redaction = readonly string[] | "all";

/** The start of a path that names a member at any depth. */
const ANYWHERE = "**.";
/** Levels of a payload that are looked through; what is nested more deeply is hidden. */
const MAX_DEPTH = 256;

/** Why a value is no list of paths; `undefined` if it is one. */
export function whyNoPaths(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "an array of paths of members";
  if (value.length > MAX_PATHS) return `at most ${MAX_PATHS} paths`;
  return value.every(isPath) ? undefined : `paths of 1 to ${MAX_PATH_LENGTH} characters, like "card.number"`;
}

function isPath(path: unknown): boolean {
  if (typeof path !== "string" || path.length > MAX_PATH_LENGTH) return false;
  const names = (path.startsWith(ANYWHERE) ? path.slice(ANYWHERE.length) : path).split(".");
  if (path.startsWith(ANYWHERE) && names.length > 1) return false;
  return names.every((name) => name !== "" && name !== "**");
}

/**
 * A copy of a payload with {@link HIDDEN} in place of the members on these paths. A path is the names of members,
 * joined by dots; `*` is any name, a path passes through arrays, sets and maps, and `**.name` is a member of this name
 * at any depth.
 */
export function redacted(value: unknown, redaction: Redaction | undefined): unknown {
  if (redaction === undefined || value === undefined) return value;
  if (redaction === "all") return HIDDEN;
  const anywhere = new Set<string>();
  const paths: string[][] = [];
  for (const path of redaction) {
    if (path.startsWith(ANYWHERE)) anywhere.add(path.slice(ANYWHERE.length));
    else paths.push(path.split("."));
  }
  return without(value, paths, anywhere, 0);
}

/** `paths`: what is left of those that lead through this value. */
function without(value: unknown, paths: readonly string[][], anywhere: ReadonlySet<string>, depth: number): unknown {
  if (typeof value !== "object" || value === null || (paths.length === 0 && anywhere.size === 0)) return value;
  if (depth > MAX_DEPTH) return HIDDEN;
  const through = (inner: unknown) => without(inner, paths, anywhere, depth + 1);
  const member = (name: unknown, inner: unknown): unknown => {
    if (typeof name === "string" && anywhere.has(name)) return HIDDEN;
    const left: string[][] = [];
    for (const [first, ...more] of paths) {
      if (first !== "*" && first !== name) continue;
      if (more.length === 0) return HIDDEN;
      left.push(more);
    }
    return without(inner, left, anywhere, depth + 1);
  };
  if (Array.isArray(value)) return value.map(through);
  if (value instanceof Set) return new Set([...value].map(through));
  if (value instanceof Map) return new Map([...value].map(([key, inner]) => [through(key), member(key, inner)]));
  if (value instanceof Error) return value;
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value; // a date, bytes and the like
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, member(name, inner)]));
}
