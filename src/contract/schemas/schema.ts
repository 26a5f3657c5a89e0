/**
 * [Standard Schema](https://standardschema.dev), the interface that zod, valibot, arktype and effect agree on, written
 * out here as its authors advise, and the one place that runs a validator.
 */
import { isThenable, show } from "../../data/checks.ts";
import { CatgaError, type ErrorCode } from "../../error.ts";
import type { Failure, Result } from "../calls/result.ts";

/** A value of type `T`, or a promise of one. */
export type MaybePromise<T> = T | Promise<T>;

/** Calls a function with a value: at once if the value is known, otherwise when its promise resolves. */
export function andThen<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/**
 * A validator: it takes an `In` and returns an `Out`. The schemas of zod, valibot, arktype and effect are validators.
 *
 * @example
 * ```ts
 * import { catga, query, type Schema } from "@catga/catga";
 *
 * const even: Schema<number> = {
 *   "~standard": {
 *     version: 1,
 *     vendor: "mine",
 *     validate: (value) => typeof value === "number" && value % 2 === 0 ? { value } : { issues: [{ message: "not even" }] },
 *   },
 * };
 * const Half = query("Half", { input: even, output: even });
 * await using app = await catga({ handlers: Half.handle((n) => n / 2) });
 * console.log((await app.send(Half, 8)).value, (await app.send(Half, 3)).error?.code); // 4 INVALID_MESSAGE
 * ```
 */
export interface Schema<In, Out = In> {
  /** The member by which Standard Schema libraries expose their validator. */
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => MaybePromise<SchemaResult<Out>>;
    readonly types?: { readonly input: In; readonly output: Out } | undefined;
  };
}

/** Result of a validator: the parsed value, or the issues that it found. */
export type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** An issue that a validator found in a value. */
export interface SchemaIssue {
  /** The issue in words. */
  readonly message: string;
  /** Path to the invalid part, from the outermost key to the innermost; absent for the whole value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * Runs a validator on the payload or the answer of a contract. An invalid value becomes an error (`INVALID_MESSAGE` or
 * `INVALID_RESPONSE`); the function never throws or rejects. The error's `details` are the issues: `{ message, path
 * }[]`, the path as an array of keys.
 * @decides a schema checks a payload; the text of the refusal
 */
export function validate(
  schema: Schema<never, unknown>,
  value: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  contract: string,
): MaybePromise<Result<unknown>> {
  const threw = (error: unknown) => refused(code, contract, THREW, error);
  try {
    const checked = schema["~standard"].validate(value);
    if (!isThenable(checked)) return toResult(checked, code, contract);
    return Promise.resolve(checked).then((result) => toResult(result, code, contract)).catch(threw);
  } catch (error) {
    return threw(error);
  }
}

/**
 * Throws a `TypeError` if `schema` is neither `undefined` nor a Standard Schema validator. `name`: the option's name,
 * for the error.
 */
export function checkSchema(name: string, schema: Schema<never, unknown> | undefined): void {
  if (schema === undefined || typeof schema?.["~standard"]?.validate === "function") return;
  throw new TypeError(
    `${name} must be a Standard Schema validator (zod, valibot, arktype, effect, …); got ${show(schema)}`,
  );
}

/**
 * Returns true if the error says that a schema itself threw (instead of refusing the value), in this process; the
 * thrown error is then the error's `cause`.
 */
export function schemaThrew({ details }: CatgaError): boolean {
  return details === THREW;
}

const THREW = Object.freeze([Object.freeze({ message: "the schema threw", path: Object.freeze([]) })]);

/**
 * Returns the message of the first issue that a schema found, from the error that {@link validate} made of the issues.
 */
export function firstIssue({ details }: CatgaError): string {
  // the cast is safe: {@link validate} made the details of this error
  return (details as readonly SchemaIssue[])[0]?.message ?? "no reason given";
}

/**
 * Returns the first issue in an error that {@link validate} made, with its path, if it has one: `seat.row: expected a
 * string`.
 */
export function issueWithPath(error: CatgaError): string {
  // the cast is safe: {@link validate} made the details of this error
  const { path = [] } = (error.details as readonly SchemaIssue[])[0] ?? {};
  return `${path.length === 0 ? "" : `${path.map(String).join(".")}: `}${firstIssue(error)}`;
}

function toResult(result: SchemaResult<unknown>, code: ErrorCode, contract: string): Result<unknown> {
  return result.issues === undefined
    ? { ok: true, value: result.value }
    : refused(code, contract, result.issues, undefined);
}

function refused(code: ErrorCode, contract: string, found: readonly SchemaIssue[], cause: unknown): Failure {
  const details = found === THREW ? THREW : found.map(({ message, path }) => ({
    message,
    path: (path ?? []).map((part) => {
      const key = typeof part === "object" ? part.key : part;
      return typeof key === "number" ? key : String(key);
    }),
  }));
  const what = code === "INVALID_MESSAGE" ? "payload" : "answer";
  const first = details[0] ?? { message: "no reason given", path: [] };
  const at = first.path.length > 0 ? ` at ${first.path.join(".")}` : "";
  const more = details.length > 1 ? ` (and ${details.length - 1} more, see details)` : "";
  return {
    ok: false,
    error: new CatgaError(code, `the ${what} of ${contract} does not fit its schema${at}: ${first.message}${more}`, {
      details,
      ...(cause === undefined ? {} : { cause }),
    }),
  };
}
