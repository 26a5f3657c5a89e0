/** Whether a value is an object that was written as `{ … }`, in this realm or another, has no prototype, or is a module's namespace. */
export function isPlain(value: unknown): value is Record<PropertyKey, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return true;
  if (Object.getPrototypeOf(prototype) !== null) return false;
  // in Bun 1.4 a module's namespace has a prototype, with `__esModule`
  return Object.hasOwn(prototype, "hasOwnProperty") || Object.prototype.toString.call(value) === "[object Module]";
}
