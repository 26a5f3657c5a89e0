/**
 * Hides the secret members of payloads that tools show; the contract's option `redact` names them. The paths come with
 * the stored message, which any client may have written: so their number and length are limited, and paths that cannot
 * be read hide the whole payload.
 */

/** Text that is shown in place of a hidden member. */
export const HIDDEN = "(hidden)";

/** Maximum number of paths of a contract. */
export const MAX_PATHS = 32;
/** Maximum length of a path, in characters. */
export const MAX_PATH_LENGTH = 256;

/** Paths of the members to hide; `all`: the whole payload is hidden. */
export type Redaction = readonly string[] | "all";

/** Beginning of a path that names a member at any depth. */
const ANYWHERE = "**.";
/** Maximum depth to which a payload is searched; deeper parts are hidden. */
const MAX_DEPTH = 256;

/**
 * Returns, for an error message, what the value should be if it is not a valid list of paths; `undefined`: it is valid.
 */
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
 * Returns a copy of a payload with {@link HIDDEN} in place of the members on these paths. A path consists of names of
 * members, joined by dots; `*` matches any name, a path goes through arrays, sets and maps, and `**.name` is a member
 * with this name at any depth. An instance of a class that has such members becomes a plain object.
 */
export function redacted(value: unknown, redaction: Redaction | undefined): unknown {
  if (redaction === undefined || value === undefined) return value;
  if (redaction === "all") return HIDDEN;
  return new Redactor(redaction).without(value);
}

/**
 * Copies one payload without its hidden members. Each object is copied once for the same paths, however often it occurs
 * in the payload.
 */
class Redactor {
  readonly #anywhere = new Set<string>();
  readonly #paths: string[] = [];
  /**
   * Copies made so far, by object and paths; {@link HIDDEN} while an object is being copied, because it may contain
   * itself.
   */
  readonly #copies = new Map<object, Map<string, unknown>>();

  constructor(paths: readonly string[]) {
    for (const path of paths) {
      if (path.startsWith(ANYWHERE)) this.#anywhere.add(path.slice(ANYWHERE.length));
      else this.#paths.push(path);
    }
  }

  /**
   * Copies a value without its hidden members. `paths`: the paths of the hidden members as seen from this value, except
   * those of the form `**.name`.
   */
  without(value: unknown, paths: readonly string[] = this.#paths, depth = 0): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (paths.length === 0 && this.#anywhere.size === 0) return value;
    if (depth > MAX_DEPTH) return HIDDEN;
    let copies = this.#copies.get(value);
    if (copies === undefined) this.#copies.set(value, copies = new Map());
    const way = JSON.stringify(paths);
    if (!copies.has(way)) {
      copies.set(way, HIDDEN);
      copies.set(way, this.#copy(value, paths, depth));
    }
    return copies.get(way);
  }

  #copy(value: object, paths: readonly string[], depth: number): unknown {
    const through = (inner: unknown) => this.without(inner, paths, depth + 1);
    const member = (name: unknown, inner: unknown) => this.#member(name, inner, paths, depth);
    if (Array.isArray(value)) return value.map(through);
    if (value instanceof Set) return new Set([...value].map(through));
    if (value instanceof Map) return new Map([...value].map(([key, inner]) => [through(key), member(key, inner)]));
    if (value instanceof Error || ArrayBuffer.isView(value)) return value;
    const { toJSON } = value as { readonly toJSON?: unknown };
    if (typeof toJSON === "function") {
      const json: unknown = toJSON.call(value, "");
      if (json !== value) return typeof json === "object" && json !== null ? through(json) : value; // a `Date` becomes a text
    }
    const members = Object.entries(value);
    if (members.length === 0) return value;
    return Object.fromEntries(members.map(([name, inner]) => [name, member(name, inner)]));
  }

  #member(name: unknown, inner: unknown, paths: readonly string[], depth: number): unknown {
    if (typeof name === "string" && this.#anywhere.has(name)) return HIDDEN;
    const left: string[] = [];
    for (const path of paths) {
      const end = path.indexOf(".");
      const first = end < 0 ? path : path.slice(0, end);
      if (first !== "*" && first !== name) continue;
      if (end < 0) return HIDDEN;
      left.push(path.slice(end + 1));
    }
    return this.without(inner, left, depth + 1);
  }
}
