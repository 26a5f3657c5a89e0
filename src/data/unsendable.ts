/** Errors for values that cannot be sent to another process. They have the path to the part that cannot be sent. */

/** The error for a value that cannot be sent, or has a part that cannot. */
export class UnsendableError extends TypeError {
  /** Path to the part that cannot be sent: `payload.account.close`. */
  readonly path: string;
  /** Why the part cannot be sent: `is a function`. */
  readonly why: string;

  /** `cause`: error that a getter threw; absent: none did. */
  constructor(path: string, why: string, cause?: unknown) {
    super(`${path} ${why}`, cause === undefined ? undefined : { cause });
    this.path = path;
    this.why = why;
  }
}

/** Returns why a value that has neither JSON nor a tag cannot be sent, and what to do. */
export function whyUnsendable(value: unknown): string {
  if (typeof value === "function") return "is a function";
  if (typeof value === "symbol") return "is a symbol";
  if (value instanceof Promise) return "is a promise: await it first";
  if (value instanceof Error) return "is an Error: send its message, or fail() with a code";
  if (value instanceof RegExp) return "is a RegExp: send its source and its flags";
  const name = classOf(value as object);
  const what = name === undefined ? "is an instance of a class" : `is an instance of ${name}`;
  return `${what}: send a plain object, or a text, that it can be made from`;
}

/** Returns the name of an object's class. */
function classOf(value: object): string | undefined {
  try {
    const { name } = (value as { constructor?: { name?: unknown } }).constructor ?? {};
    return typeof name === "string" && /^[\p{L}_$][\p{L}\d_$]{0,63}$/u.test(name) ? name : undefined;
  } catch {
    return undefined; // a getter threw; that does not matter, because the name is only for the message
  }
}
