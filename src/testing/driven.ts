/** An app as a test has it: whatever it promises, time passes for it. */

/**
 * The same object, whose promises are handed to `drive`, as are those of what it gives: locks, terms, its cache. What an
 * iterator gives is not waited for: there may be nothing.
 */
export function driven<T extends object>(real: T, drive: <R>(promise: Promise<R>) => Promise<R>): T {
  const given = (value: unknown): unknown => {
    if (value instanceof Promise) return drive(value.then(given));
    return isResource(value) ? driven(value, drive) : value;
  };
  // of the real one's class, and with nothing of its own: a frozen object's members could not be replaced
  return new Proxy(Object.create(Object.getPrototypeOf(real)), {
    get(_, key) {
      const value = Reflect.get(real, key, real);
      if (key === "cache") return driven(value as object, drive);
      return typeof value === "function" ? (...args: unknown[]) => given(value.apply(real, args)) : value;
    },
    has: (_, key) => key in real,
  });
}

function isResource(value: unknown): value is object {
  return typeof value === "object" && value !== null && Symbol.asyncDispose in value &&
    !(Symbol.asyncIterator in value);
}
