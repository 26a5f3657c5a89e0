/** What a message comes back with: a value or an error, and never a throw for what can go wrong in operation. */
import { CatgaError, type CatgaErrorOptions, type Code } from "../error.ts";

/** What a message comes back with. `value` and `error` may be destructured before the check of `ok`. */
export type Result<T> = Success<T> | Failure;

/** The good half of a {@link Result}. */
export interface Success<T> {
  /** Tells the halves apart. */
  readonly ok: true;
  /** What the handler returned. */
  readonly value: T;
  /** Never there. */
  readonly error?: undefined;
}

/** The bad half of a {@link Result}; a handler may return one: from {@link fail}, or from another send. */
export interface Failure {
  /** Tells the halves apart. */
  readonly ok: false;
  /** Never there. */
  readonly value?: undefined;
  /** What went wrong. */
  readonly error: CatgaError;
}

/** Options of {@link fail}. */
export type FailOptions = Omit<CatgaErrorOptions, "node">;

/**
 * Makes the failure that a handler returns: the sender gets it as an error with this code, and Catga does not retry it.
 * Choose codes of your own, so that they are told from those of Catga (`ErrorCode`).
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
 */
export function fail(code: Code, message: string, options?: FailOptions): Failure {
  return { ok: false, error: new CatgaError(code, message, options) };
}

/**
 * The value of a result; throws its error, a {@link CatgaError}. Thrown in a handler it keeps its code.
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
  if (result.ok) return result.value;
  throw result.error;
}
