/** Results of sends: a value or an error. A failure of a send is returned as a result, and never thrown. */
import { type AnyCode, CatgaError, type CatgaErrorOptions, isCatgaError } from "../../error.ts";
import { checkBoolean, checkKnown, checkNumber, checkString, isRecord, show } from "../../data/checks.ts";
import type { SendableDetails } from "./sendable.ts";

/**
 * Result of a send. `value` and `error` may be destructured before `ok` is checked. `F`: the codes that the
 * handler may fail with, besides Catga's own.
 */
export type Result<T, F extends string = AnyCode> = Success<T> | Failure<F>;

/** A success: a {@link Result} with a value. */
export interface Success<T> {
  /** Distinguishes a success from a failure. */
  readonly ok: true;
  /** The handler's return value. */
  readonly value: T;
  /** Absent in a success. */
  readonly error?: undefined;
}

/**
 * A {@link Result} with an error. A handler may return a failure made by {@link fail}, or the failure of another send.
 */
export interface Failure<F extends string = AnyCode> {
  /** Distinguishes a failure from a success. */
  readonly ok: false;
  /** Absent in a failure. */
  readonly value?: undefined;
  /** The error, with its code and message. */
  readonly error: CatgaError<F>;
}

/** Options of {@link fail}, which makes the failure that a handler returns. */
export interface FailOptions<D = unknown> extends Omit<CatgaErrorOptions, "node" | "details"> {
  /**
   * Data for the sender's program. It crosses the network, so it must be a value that Catga can encode: JSON, `Date`,
   * `Map`, `bigint` and the like.
   */
  details?: SendableDetails<D>;
  /**
   * Time in ms after which to try again, 1 to a day, for callers and HTTP clients: it becomes `details.retryAfter`. A
   * handler of a durable event or command that fails with `RATE_LIMITED` and this time has its message, and all others
   * of its `limit`, wait for so long; that is no attempt.
   */
  retryAfter?: number | undefined;
}

/**
 * Makes the failure that a handler returns: the sender gets it as an error with this code, and Catga does not retry it.
 * Choose codes that are not Catga's (`ErrorCode`). A contract with failures of its own (`command<In, Out, "SOLD_OUT">`)
 * takes no other code.
 *
 * @example
 * ```ts
 * import { command, fail } from "@catga/catga";
 *
 * const Withdraw = command<{ amount: number }, { left: number }>("Withdraw");
 * export const withdraw = Withdraw.handle(({ amount }) =>
 *   amount > 100 ? fail("INSUFFICIENT_FUNDS", `cannot withdraw ${amount}`, { details: { left: 100 } }) : { left: 100 - amount }
 * );
 * ```
 * @decides what `fail` and `unwrap` accept
 */
export function fail<F extends string, D = unknown>(code: F, message: string, options?: FailOptions<D>): Failure<F> {
  if (typeof code !== "string" || code === "") {
    throw new TypeError(`fail: the code must be a text such as "SOLD_OUT"; got ${show(code)}`);
  }
  if (code.length > MAX_CODE_LENGTH) {
    throw new RangeError(`fail: the code has at most ${MAX_CODE_LENGTH} characters; got ${code.length}: ${show(code)}`);
  }
  checkString(`fail ${code}: message`, message);
  if (options === undefined) return { ok: false, error: new CatgaError(code, message) };
  checkFailOptions(`fail ${code}`, options);
  const { retryAfter, ...rest } = options;
  if (retryAfter === undefined) return { ok: false, error: new CatgaError(code, message, rest) };
  checkNumber(`fail ${code}: retryAfter`, retryAfter, 1, 86_400_000, "ms");
  const { details } = rest;
  if (details !== undefined && !isRecord(details)) {
    throw new TypeError(`fail ${code}: details beside retryAfter is an object; got ${show(details)}`);
  }
  return { ok: false, error: new CatgaError(code, message, { ...rest, details: { ...details, retryAfter } }) };
}

function checkFailOptions(at: string, options: Omit<FailOptions, "details">): void {
  checkKnown(at, options, FAIL_OPTIONS);
  const { retryable, final } = options;
  if (retryable !== undefined) checkBoolean(`${at}: retryable`, retryable);
  if (final !== undefined) checkBoolean(`${at}: final`, final);
}

/** Maximum length of a failure code, in characters; other processes do not accept a longer one. */
const MAX_CODE_LENGTH = 128;
const FAIL_OPTIONS: ReadonlySet<string> = new Set<keyof FailOptions>([
  "retryable",
  "details",
  "final",
  "cause",
  "retryAfter",
]);

/**
 * Returns the value of a result; throws its error, a {@link CatgaError}, if it failed. Thrown in a handler, the error
 * keeps its code.
 *
 * @example
 * ```ts
 * import { catga, query, unwrap } from "@catga/catga";
 *
 * const Answer = query<void, number>("Answer");
 * await using app = await catga({ handlers: Answer.handle(() => 42) });
 * console.log(unwrap(await app.send(Answer)) + 1); // 43
 * ```
 */
export function unwrap<T>(result: Result<T>): T {
  // a program without types may pass anything
  if (result?.ok) return result.value;
  if (result?.error !== undefined) throw result.error;
  throw new TypeError(
    `unwrap takes a result; got ${(result as unknown) instanceof Promise ? "a promise: await it" : show(result)}`,
  );
}

/** Returns true if a value is a failure, as `fail` makes it. */
export function isFailure(returned: unknown): returned is Failure {
  return typeof returned === "object" && returned !== null && (returned as Failure).ok === false &&
    isCatgaError((returned as Failure).error);
}
