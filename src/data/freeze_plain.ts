/** Values that several owners share: nobody can change them. */
import { isPlain } from "./checks.ts";

/**
 * Freezes a value and all that it holds, as far as these are arrays and plain objects: instances of classes, `Map`,
 * `Set`, `Date`, buffers and what they hold stay as they are. What is frozen already is taken to be so in depth, so
 * that a state that shares parts with the one before costs what is new in it. Calls no getter. Returns the value.
 */
export function freezePlain<T>(value: T): T {
  if (Object.isFrozen(value) || !isFreezable(value)) return value;
  // no recursion: a value may be nested more deeply than the stack is high; frozen before its parts are looked at, so
  // that a cycle ends
  const open: object[] = [Object.freeze(value)];
  const visit = (part: unknown): void => {
    if (!Object.isFrozen(part) && isFreezable(part)) open.push(Object.freeze(part));
  };
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (Array.isArray(next)) {
      // by index: forEach takes three times as long for a frozen array (measured in Deno 2)
      for (let i = 0; i < next.length; i++) visit(next[i]);
    } else {
      for (const key of Object.keys(next)) visit(Object.getOwnPropertyDescriptor(next, key)?.value);
    }
  }
  return value;
}

function isFreezable(value: unknown): value is object {
  return Array.isArray(value) ? Object.getPrototypeOf(value) === Array.prototype : isPlain(value);
}
