/**
 * Checks of values that a program passes to Catga. Each error names the option, the given value, and the expected one.
 */

/** Longest timeout that timers allow: 2^31 - 1 ms, 24.8 days. */
export const MAX_TIMEOUT = 2_147_483_647;

/** Maximum delay of a message, and maximum time for which the result of an idempotent command is kept, in ms. */
export const TEN_YEARS = 10 * 366 * 86_400_000;

/** Maximum ttl of stored data, in ms: a hundred years. nats-server counts in ns, which overflow at 292 years. */
export const LONGEST_TTL = 100 * 365 * 86_400_000;

/**
 * Last time for which programs can schedule a message, in ms since 1970. It is months before the last time that fits
 * into the ns of nats-server (64 bits), because clocks differ.
 */
export const LATEST = Date.UTC(2262, 0) - 1;

/**
 * Throws if `options` is not a plain object, or has an option that is not in `known`. `at`: text at the beginning of
 * the error. `elsewhere`: by option that another method takes, text that follows its name in the error.
 * @decides shared checks of options: unknown names, ranges, subjects, headers; the longest timeout and ttl
 */
export function checkKnown(
  at: string,
  options: object,
  known: ReadonlySet<string>,
  elsewhere: ReadonlyMap<string, string> = NONE,
): void {
  if (!isPlain(options)) throw new TypeError(`${at} takes an object of options; got ${show(options)}`);
  for (const key of Object.keys(options)) {
    if (known.has(key)) continue;
    const hint = elsewhere.get(key);
    throw new TypeError(
      `${at}: ${hint === undefined ? `unknown option ${key}; it takes ${[...known].join(", ")}` : `${key} ${hint}`}`,
    );
  }
}

const NONE: ReadonlyMap<string, string> = new Map();

/** Throws if the value is not a number from `least` to `most`. */
export function checkNumber(name: string, value: number, least: number, most: number, unit = ""): void {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number${unit && ` of ${unit}`}; got ${show(value)}`);
  }
  if (!(value >= least && value <= most)) {
    throw new RangeError(`${name} must be ${range(least, most)}${unit && ` ${unit}`}; got ${value}`);
  }
}

function range(least: number, most: number): string {
  if (least !== Number.MIN_VALUE) return `from ${least} to ${most}`;
  return most === Number.MAX_VALUE ? "more than 0" : `more than 0, at most ${most}`;
}

/** Throws if the value is not a whole number from `least` to `most`. */
export function checkInteger(name: string, value: number, least: number, most: number): void {
  checkNumber(name, value, least, most);
  if (!Number.isInteger(value)) throw new RangeError(`${name} must be a whole number; got ${value}`);
}

/** Throws if the value is not `[first, longest]`, the pauses of a `retry` in ms: from 1 to `most`. */
export function checkDelay(at: string, delay: readonly [number, number], most: number): void {
  if (!Array.isArray(delay) || delay.length !== 2) {
    throw new TypeError(`${at}: retry.delay must be [first, longest] in ms, like [1_000, 300_000]; got ${show(delay)}`);
  }
  const [first, longest] = delay;
  checkNumber(`${at}: retry.delay[0]`, first, 1, most, "ms");
  checkNumber(`${at}: retry.delay[1]`, longest, first, most, "ms");
}

/** Throws if the value is not valid as one token of a NATS subject. */
export function checkToken(name: string, value: string): void {
  if (isToken(value, MAX_TOKEN)) return;
  throw new TypeError(`${name} must be 1 to ${MAX_TOKEN} letters, digits, "-" and "_"; got ${show(value)}`);
}

/** Throws a `TypeError` unless a NATS message can be published on this subject. */
export function checkSubject(subject: string): void {
  if (TOKENS.test(subject) && !/(?:^|\.)[*>](?:\.|$)/.test(subject)) return;
  const wanted = 'a subject is tokens without spaces or wildcards, joined by dots, as "orders.created"';
  throw new TypeError(`${wanted}; got ${JSON.stringify(subject)}`);
}

/** Throws a `TypeError` unless this subject (wildcards allowed) and this queue can be subscribed to. */
export function checkPattern(subject: string, queue?: string): void {
  if (queue !== undefined && !/^\S+$/.test(queue)) {
    throw new TypeError(`a queue's name has no spaces; got ${JSON.stringify(queue)}`);
  }
  if (TOKENS.test(subject) && !/(?:^|\.)>\./.test(subject)) return;
  const wanted = `a subscription's subject is tokens without spaces, joined by dots, ">" only at the end`;
  throw new TypeError(`${wanted}; got ${JSON.stringify(subject)}`);
}

/** Throws a `TypeError` for a header that NATS cannot carry. */
export function checkHeader(name: string, value: string): void {
  if (!/^[!-9;-~]+$/.test(name)) {
    throw new TypeError(`a header's name is printable ASCII without spaces and ":"; got ${JSON.stringify(name)}`);
  }
  if (/[\r\n]/.test(value)) {
    throw new TypeError(
      `a header's value has no line breaks; got ${JSON.stringify(value)} for ${JSON.stringify(name)}`,
    );
  }
}

/** Throws if the value is not a plain object whose values are strings. */
export function checkStrings(name: string, value: Readonly<Record<string, string>>): void {
  if (!isPlain(value)) throw new TypeError(`${name} must be an object of strings; got ${show(value)}`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw new TypeError(`${name}.${key} must be a string; got ${show(text)}`);
  }
}

/** Throws if the value is not `true` or `false`. */
export function checkBoolean(name: string, value: boolean): void {
  if (typeof value !== "boolean") throw new TypeError(`${name} must be true or false; got ${show(value)}`);
}

/** Throws if the value is not a string. */
export function checkString(name: string, value: string): void {
  if (typeof value !== "string") throw new TypeError(`${name} must be a string; got ${show(value)}`);
}

/** Throws if the value is not a function. `wanted`: describes the expected function. */
export function checkFunction(name: string, value: unknown, wanted = "a function"): void {
  if (typeof value !== "function") throw new TypeError(`${name} must be ${wanted}; got ${show(value)}`);
}

/** Throws if the value is not an object. `wanted`: describes the expected object. */
export function checkObject(name: string, value: unknown, wanted: string): void {
  if (typeof value === "object" && value !== null) return;
  throw new TypeError(`${name} must be ${wanted}; got ${show(value)}`);
}

/** Throws if the value lacks one of these methods; the value may be an instance of a class. */
export function checkMethods(name: string, value: unknown, methods: readonly string[]): void {
  checkObject(name, value, `an object with the methods ${methods.join(", ")}`);
  // the cast is safe, because each member is checked
  for (const method of methods) checkFunction(`${name}.${method}`, (value as Record<string, unknown>)[method]);
}

/** Throws if the value is neither `undefined` nor an `AbortSignal`. */
export function checkSignal(at: string, signal: AbortSignal | undefined): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new TypeError(`${at}: signal must be an AbortSignal; got ${show(signal)}`);
}

/** Formats a value for an error message: short, and with quotes if it is a string. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === "object" && value !== null) return showObject(value);
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "function" ? "a function" : String(value);
}

function showObject(value: object): string {
  try {
    if (Array.isArray(value)) return "an array";
    if (value instanceof Date && Number.isNaN(value.getTime())) return "an invalid Date";
    const type = isPlain(value) ? undefined : value.constructor;
    return typeof type === "function" && type !== Object ? `an instance of ${type.name || "a class"}` : "an object";
  } catch { // a getter or a proxy threw; its error must not replace the error in which the value was to be shown
    return "an object that cannot be read";
  }
}

const MAX_TOKEN = 64;
const TOKENS = /^[^\s.]+(?:\.[^\s.]+)*$/;

/**
 * Returns true if a value is a string that can be a token of a NATS subject without encoding: at most `most` letters,
 * digits, `-` and `_`.
 */
export function isToken(value: unknown, most = Infinity): value is string {
  return typeof value === "string" && value.length <= most && PLAIN_TOKEN.test(value);
}

/** Matches a token of a NATS subject that needs no encoding. */
export const PLAIN_TOKEN = /^[\w-]+$/;

// Checks of numbers from other processes.

/** Returns true if a value is a whole number from 0 on, small enough to be exact. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Returns true if a value is a finite number from 0 on, such as a time in ms. */
export function isNotNegative(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

/** Returns true if a value is an object all of whose members are strings. */
export function isStrings(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === "string");
}

/** Returns true if a value is an array of strings. */
export function isStringArray(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === "string");
}

/** Returns true if a value is an object that is neither null nor an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Returns true if a value is an object that was written as `{ … }` (in this realm or another one), or has no prototype,
 * or is a module's namespace.
 */
export function isPlain(value: unknown): value is Record<PropertyKey, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return true;
  if (Object.getPrototypeOf(prototype) !== null) return false;
  // in Bun 1.4 a module's namespace has a prototype, with `__esModule`
  return Object.hasOwn(prototype, "hasOwnProperty") || Object.prototype.toString.call(value) === "[object Module]";
}

/** Returns true if a value has a `then` method, like promises of libraries that are not of the class `Promise`. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

/**
 * Ignores the rejection of a promise that was passed where no promise is allowed: the caller throws an error anyway.
 */
export function disown(value: unknown): void {
  if (isThenable(value)) Promise.resolve(value).catch(() => {});
}

// Freezing of values that a program passes in, and that several parts then share.

/**
 * Freezes a value and everything in it, as far as these are arrays and plain objects: instances of classes, `Map`,
 * `Set`, `Date`, buffers and their contents stay unfrozen. A part that is frozen already is taken as frozen in depth,
 * so that freezing a state costs only its new parts. Calls no getter. Returns the value.
 */
export function freezePlain<T>(value: T): T {
  if (Object.isFrozen(value) || !isFreezable(value)) return value;
  // a loop is used, not recursion, because a value may be nested more deeply than the stack allows. Each part is frozen
  // before its own parts are visited, so that a cycle ends
  const open: object[] = [Object.freeze(value)];
  const visit = (part: unknown): void => {
    if (!Object.isFrozen(part) && isFreezable(part)) open.push(Object.freeze(part));
  };
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (Array.isArray(next)) {
      // the loop counts an index, because `forEach` takes three times as long for a frozen array (measured in Deno 2)
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

/**
 * Returns true if a value is an instance of this very class, not of a subclass, whose instances would arrive as another
 * value.
 */
export function isOf(value: object, type: { readonly prototype: object }): boolean {
  return Object.getPrototypeOf(value) === type.prototype;
}
