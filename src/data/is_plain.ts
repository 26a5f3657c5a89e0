/** Whether a value is an object that was written as `{ … }`, in this realm or another, or has no prototype, as a module's namespace. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return true;
  if (Object.getPrototypeOf(prototype) !== null) return false;
  // that of another realm; or an empty one, which a module's namespace has in Bun 1.4
  return Object.hasOwn(prototype, "hasOwnProperty") || Reflect.ownKeys(prototype).length === 0;
}
