/**
 * Stands in for `@std/assert` in development, where JSR may be out of reach; what is published is tested with the real
 * one. It has the functions that tests use, with the same signatures and verdicts: what passes here passes there.
 *
 * @module
 */
import { AssertionError } from "node:assert/strict";
import { inspect, stripVTControlCharacters } from "node:util";
import { equal } from "./equal.ts";

export { AssertionError };

/** What {@link assertFalse} lets through. */
export type Falsy = false | 0 | 0n | "" | null | undefined;

// deno-lint-ignore no-explicit-any -- as in @std/assert: constructors of any arity
type Constructor<T> = abstract new (...args: any[]) => T;

/** Asserts that the expression is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError({ message: msg, actual: expr, expected: true, operator: "==" });
}

/** Asserts that the expression is falsy. */
export function assertFalse(expr: unknown, msg = ""): asserts expr is Falsy {
  if (expr) throw new AssertionError({ message: msg, actual: expr, expected: false, operator: "==" });
}

/** Asserts that the values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  const { message } = new AssertionError({ actual, expected, operator: "deepStrictEqual" });
  throw new AssertionError({ message: `Values are not equal${suffix(msg)}\n${message}` });
}

/** Asserts that the values are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) reject(`Expected actual: ${inspect(actual)} not to be: ${inspect(expected)}`, msg);
}

/** Asserts that the values are the same, by `Object.is`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (Object.is(actual, expected)) return;
  reject(`Values are not strictly equal: ${inspect(actual)} is not ${inspect(expected)}`, msg);
}

/** Asserts that the values are not the same, by `Object.is`. */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  if (Object.is(actual, expected)) reject(`Expected "actual" to not be strictly equal to: ${inspect(actual)}`, msg);
}

/** Asserts that the value was made by the class. */
export function assertInstanceOf<T>(actual: unknown, expectedType: Constructor<T>, msg = ""): asserts actual is T {
  if (actual instanceof expectedType) return;
  reject(`Expected object to be an instance of "${expectedType.name}" but was ${inspect(actual)}`, msg);
}

/** Asserts that the string matches the expression. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) reject(`Expected actual: "${actual}" to match: "${expected}"`, msg);
}

/** Asserts that the string does not match the expression. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) reject(`Expected actual: "${actual}" to not match: "${expected}"`, msg);
}

/** Asserts that the string contains the other. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) reject(`Expected actual: "${actual}" to contain: "${expected}"`, msg);
}

/** Asserts that `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) compare(actual, ">", expected, msg);
}

/** Asserts that `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) compare(actual, ">=", expected, msg);
}

/** Asserts that `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) compare(actual, "<", expected, msg);
}

/** Asserts that `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) compare(actual, "<=", expected, msg);
}

/** Asserts that the function throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that the function throws an error of the class, whose message includes the text; returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  classOrMsg?: Constructor<Error> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  let error: unknown;
  try {
    fn();
  } catch (thrown) {
    error = thrown;
    return checked(error, classOrMsg, msgIncludes, msg, "thrown");
  }
  return reject("Expected function to throw", typeof classOrMsg === "string" ? classOrMsg : msg);
}

/** Asserts that the promise rejects; returns the reason. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Asserts that the promise rejects with an error of the class, whose message includes the text; returns the error. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: Constructor<Error> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const said = typeof classOrMsg === "string" ? classOrMsg : msg;
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (cause) {
    return reject("Function throws when expected to reject", said, cause);
  }
  if (typeof promise?.then !== "function") return reject("Function throws when expected to reject", said);
  try {
    await promise;
  } catch (error) {
    return checked(error, classOrMsg, msgIncludes, msg, "rejected");
  }
  return reject("Expected function to reject", said);
}

/** Fails. */
export function fail(msg?: string): never {
  return reject("Failed assertion", msg);
}

function checked(
  error: unknown,
  classOrMsg: Constructor<Error> | string | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
  how: string,
): unknown {
  if (typeof classOrMsg !== "function") return error;
  if (!(error instanceof Error)) return reject(`A non-Error object was ${how}`, msg);
  if (!(error instanceof classOrMsg)) {
    const was = (error as Error).constructor?.name;
    return reject(`Expected error to be instance of "${classOrMsg.name}", but was "${was}"`, msg, error);
  }
  if (msgIncludes && !stripVTControlCharacters(error.message).includes(stripVTControlCharacters(msgIncludes))) {
    const got = JSON.stringify(error.message);
    return reject(`Expected error message to include ${JSON.stringify(msgIncludes)}, but got ${got}`, msg, error);
  }
  return error;
}

function compare(actual: unknown, operator: string, expected: unknown, msg?: string): never {
  throw new AssertionError({ message: msg ?? `Expect ${inspect(actual)} ${operator} ${inspect(expected)}` });
}

function reject(message: string, msg: string | undefined, cause?: unknown): never {
  const error = new AssertionError({ message: `${message}${suffix(msg)}` });
  if (cause !== undefined) error.cause = cause;
  throw error;
}

function suffix(msg: string | undefined): string {
  return msg ? `: ${msg}` : ".";
}
