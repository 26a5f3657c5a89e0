/** The app that a test works with: virtual time passes while the test awaits one of its promises. */

/**
 * A proxy of an object whose methods hand the promises that they return to `drive`; so do those of the locks, terms, cache,
 * clock, dead letters and runs that it returns. Iterators are returned as they are, as their next value may never come, but for those of dead
 * letters and runs, which end.
 */
export function driven<T extends object>(real: T, drive: <R>(promise: Promise<R>) => Promise<R>): T {
  const wrap = (value: unknown): unknown => {
    if (value instanceof Promise) return drive(value.then(wrap));
    return isResource(value) ? driven(value, drive) : value;
  };
  // a target of the same class, without members: a proxy may not replace members of a frozen target
  return new Proxy(Object.create(Object.getPrototypeOf(real)), {
    get(_, key) {
      const value = Reflect.get(real, key, real);
      if ((key === "deadLetters" || key === "runs") && typeof value === "function") {
        return (...args: unknown[]) => drivenLetters(value.apply(real, args), drive);
      }
      if (key === "cache" || key === "clock") return driven(value as object, drive);
      return typeof value === "function" ? (...args: unknown[]) => wrap(value.apply(real, args)) : value;
    },
    has: (_, key) => key in real,
  });
}

async function* drivenLetters(
  letters: AsyncIterator<object>,
  drive: <R>(promise: Promise<R>) => Promise<R>,
): AsyncIterableIterator<object> {
  try {
    for (let next = await drive(letters.next()); !next.done; next = await drive(letters.next())) {
      yield driven(next.value, drive);
    }
  } finally {
    await letters.return?.();
  }
}

function isResource(value: unknown): value is object {
  return typeof value === "object" && value !== null && Symbol.asyncDispose in value &&
    !(Symbol.asyncIterator in value);
}
