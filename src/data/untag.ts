/** Reads JSON with tags (`tag.ts`): the values that they stand for, in place of the texts. */
import { isTagged, MAP, readTag, SET } from "./tag.ts";

/**
 * The value of JSON with tags, parsed; arrays and objects in it are changed in place, at any depth. Throws a `TypeError` for an
 * invalid tag.
 */
export function untag(parsed: unknown): unknown {
  if (typeof parsed === "string") return isTagged(parsed) ? readTag(parsed) : parsed;
  if (typeof parsed !== "object" || parsed === null) return parsed;
  const root = begin(parsed);
  const open = [root];
  let ended: unknown;
  for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
    if (last.at === last.count) {
      ended = end(last);
      open.pop();
      const holder = open.at(-1);
      if (holder !== undefined && ended !== last.value) put(holder, ended);
      continue;
    }
    last.at++;
    const member = last.value[keyOf(last)];
    if (typeof member === "string") {
      if (isTagged(member)) put(last, readTag(member));
    } else if (typeof member === "object" && member !== null) open.push(begin(member));
  }
  return ended;
}

/** An array or object whose members are being read. */
interface Open {
  readonly value: Record<string | number, unknown>;
  /** Those of an object; `undefined` for an array. */
  readonly keys: readonly string[] | undefined;
  readonly count: number;
  /** What an array stands for. */
  readonly kind: typeof MAP | typeof SET | undefined;
  /** How many members have been read or begun. */
  at: number;
}

function begin(value: object): Open {
  const keys = Array.isArray(value) ? undefined : Object.keys(value);
  const head: unknown = keys === undefined ? (value as readonly unknown[])[0] : undefined;
  const kind = head === MAP || head === SET ? head : undefined;
  const count = keys?.length ?? (value as readonly unknown[]).length;
  return { value: value as Open["value"], keys, count, kind, at: kind === undefined ? 0 : 1 };
}

/** The value of which all members have been read. */
function end({ value, kind }: Open): unknown {
  if (kind === undefined) return value;
  const [, ...items] = value as unknown as unknown[];
  return kind === SET ? new Set(items) : mapOf(items);
}

function mapOf(pairs: readonly unknown[]): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>();
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) throw new TypeError("an entry of a Map is not a pair");
    map.set(pair[0], pair[1]);
  }
  return map;
}

/** Replaces the member at hand. It is the object's own, also one whose key is `__proto__`. */
function put(holder: Open, value: unknown): void {
  holder.value[keyOf(holder)] = value;
}

function keyOf({ keys, at }: Open): string | number {
  return keys === undefined ? at - 1 : keys[at - 1];
}
