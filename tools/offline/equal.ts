/**
 * Deep equality with the verdicts of `@std/assert`, which differ from those of `node:assert`: `0` equals `-0`, an
 * object without a prototype equals a plain one, getters of a class are compared, and so is the `stack` of an error.
 *
 * @module
 */

/** Tells whether the values are deeply equal. */
export function equal(a: unknown, b: unknown): boolean {
  return compare(a, b, new Map());
}

function compare(a: unknown, b: unknown, seen: Map<object, object>): boolean {
  if (a === b || Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Date && b instanceof Date) return Object.is(a.getTime(), b.getTime());
  if (prototype(a) !== prototype(b)) return false;
  const bytes = [a, b].map(elements);
  if (bytes[0] && bytes[1]) return sameElements(bytes[0], bytes[1]);
  if (a instanceof WeakMap || a instanceof WeakSet) {
    throw new TypeError(`Cannot compare ${a.constructor.name} instances`);
  }
  if (a instanceof WeakRef && b instanceof WeakRef) return compare(a.deref(), b.deref(), seen);
  if (seen.get(a) === b) return true;
  if (Object.keys(a).length !== Object.keys(b).length) return false;
  seen.set(a, b);
  if (a instanceof Map && b instanceof Map) return sameEntries([...a], [...b], seen);
  if (a instanceof Set && b instanceof Set) return sameEntries([...a].map(pair), [...b].map(pair), seen);
  if (a instanceof RegExp || a instanceof URL || a instanceof URLSearchParams) return String(a) === String(b);
  return sameProperties(a, b, seen);
}

function prototype(value: object): unknown {
  return Object.getPrototypeOf(value) ?? Object.prototype;
}

function elements(value: object): ArrayLike<unknown> | undefined {
  if (ArrayBuffer.isView(value)) return value instanceof DataView ? undefined : value as unknown as ArrayLike<unknown>;
  return value instanceof ArrayBuffer || value instanceof SharedArrayBuffer ? new Uint8Array(value) : undefined;
}

function sameElements(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i] && !Object.is(a[i], b[i])) return false;
  return true;
}

function pair(value: unknown): [unknown, unknown] {
  return [value, value];
}

function sameEntries(a: [unknown, unknown][], b: [unknown, unknown][], seen: Map<object, object>): boolean {
  if (a.length !== b.length) return false;
  return a.every(([key, value]) => {
    const at = b.findIndex(([other, held]) => compare(key, other, seen) && compare(value, held, seen));
    if (at >= 0) b.splice(at, 1);
    return at >= 0;
  });
}

function sameProperties(a: object, b: object, seen: Map<object, object>): boolean {
  for (const key of propertyKeys(a).union(propertyKeys(b))) {
    // the keys are their own or their prototype's, so that a plain read finds them
    if (!compare(a[key as keyof typeof a], b[key as keyof typeof b], seen) || (key in a) !== (key in b)) return false;
  }
  return true;
}

/** Own keys of plain objects and arrays that are enumerable; of instances, all keys and those of their classes. */
function propertyKeys(value: object): Set<PropertyKey> {
  const proto = Object.getPrototypeOf(value);
  if (proto === null || proto === Object.prototype || proto === Array.prototype) {
    return new Set(Reflect.ownKeys({ ...value }));
  }
  const keys = new Set<PropertyKey>();
  for (let at = value; at && at !== Object.prototype && at !== Array.prototype; at = Object.getPrototypeOf(at)) {
    for (const key of Reflect.ownKeys(at)) keys.add(key);
  }
  return keys;
}
