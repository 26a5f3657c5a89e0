/** JSON of values of any depth, without recursion: `JSON.stringify` of the runtimes fails at some thousand levels. */

/** Options of {@link jsonText}. */
export interface JsonTextOptions {
  /** Sorts the keys of every object by their UTF-16 code units, as RFC 8785 does; the order of the object. */
  readonly sorted?: boolean;
}

/**
 * What `JSON.stringify(value)` returns, at any depth up to {@link MAX_DEPTH}. Throws a `TypeError` for a cycle and for
 * a bigint, and what a `toJSON` or a getter throws.
 */
export function jsonText(value: unknown, { sorted = false }: JsonTextOptions = {}): string | undefined {
  let text = "";
  const open: Open[] = [];
  const above = new Set<object>();
  /** Writes a value, or the beginning of one that has members. `false` if JSON leaves the value out. */
  const begin = (key: string, given: unknown, before: string): boolean => {
    const value = plain(key, given);
    if (typeof value !== "object" || value === null) {
      const written = JSON.stringify(value) as string | undefined;
      if (written !== undefined) text += before + written;
      return written !== undefined;
    }
    if (above.has(value)) throw new TypeError("cannot encode a circular structure as JSON");
    if (open.length === MAX_DEPTH) throw new RangeError("the JSON is nested too deeply for a stack of any size");
    above.add(value);
    if (Array.isArray(value)) {
      open.push({ value, keys: undefined, count: value.length, at: 0, begun: false });
      text += `${before}[`;
    } else {
      const keys = sorted ? Object.keys(value).sort() : Object.keys(value);
      open.push({ value, keys, count: keys.length, at: 0, begun: false });
      text += `${before}{`;
    }
    return true;
  };
  if (!begin("", value, "")) return undefined;
  for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
    const { value, keys, count } = last;
    if (last.at === count) {
      text += keys === undefined ? "]" : "}";
      above.delete(value);
      open.pop();
      continue;
    }
    const index = last.at++;
    const key = keys === undefined ? `${index}` : keys[index];
    const comma = last.begun ? "," : "";
    // an object's own member, or an array's element
    const member = (value as Record<string, unknown>)[key];
    if (keys !== undefined) last.begun = begin(key, member, `${comma}${JSON.stringify(key)}:`) || last.begun;
    else {
      last.begun = true;
      if (!begin(key, member, comma)) text += `${comma}null`;
    }
  }
  return text;
}

/** The greatest depth: a `toJSON` that returns a new object each time has no end. */
export const MAX_DEPTH = 1_000_000;

/** An array or object whose members are being written. */
interface Open {
  readonly value: object;
  /** The keys of an object; `undefined` for an array. */
  readonly keys: readonly string[] | undefined;
  readonly count: number;
  at: number;
  /** Whether a member has been written. */
  begun: boolean;
}

/** A value as JSON encodes it: that of its `toJSON`, and the primitive value of a `Number`, `String` or `Boolean`. */
function plain(key: string, given: unknown): unknown {
  let value = given;
  if (typeof value === "bigint" || (typeof value === "object" && value !== null) || typeof value === "function") {
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === "function") value = toJSON.call(value, key);
  }
  if (typeof value === "bigint") throw new TypeError("cannot encode a BigInt as JSON");
  if (value instanceof Number) return Number(value);
  if (value instanceof String) return String(value);
  if (value instanceof Boolean) return value.valueOf();
  return value;
}
