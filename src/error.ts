/**
 * Errors, with a `code` for programs, a `message` for people, and the status that HTTP callers and plain NATS clients
 * get. Every failure of Catga is a {@link CatgaError}.
 */

/** The codes of Catga's own errors. */
export type ErrorCode =
  | "NO_HANDLER"
  | "UNAVAILABLE"
  | "TIMEOUT"
  | "OUTCOME_UNKNOWN"
  | "CANCELLED"
  | "OVERLOADED"
  | "DRAINING"
  | "INVALID_MESSAGE"
  | "INVALID_RESPONSE"
  | "TOO_LARGE"
  | "HANDLER_FAILED"
  | "ID_REUSED"
  | "CONFLICT"
  | "FORGOTTEN"
  | "NO_RUN"
  | "NOT_ENDED"
  | "NOT_ANSWERED"
  | "NO_CALLBACK"
  | "CALLBACK_ENDED"
  | "DEADLOCK"
  | "LOCK_TIMEOUT"
  | "LOCK_LOST"
  | "BUCKET_MISMATCH"
  | "LOG_MISMATCH"
  | "CONSUMER_LIMIT"
  | "STREAM_BROKEN"
  | "UNSUPPORTED"
  | "ID_TAKEN"
  | "CLOSED";

/** Returns true if a code is one of Catga's own. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(OWN_CODES, code);
}

const OWN_CODES: Readonly<Record<ErrorCode, true>> = {
  NO_HANDLER: true,
  UNAVAILABLE: true,
  TIMEOUT: true,
  OUTCOME_UNKNOWN: true,
  CANCELLED: true,
  OVERLOADED: true,
  DRAINING: true,
  INVALID_MESSAGE: true,
  INVALID_RESPONSE: true,
  TOO_LARGE: true,
  HANDLER_FAILED: true,
  ID_REUSED: true,
  CONFLICT: true,
  FORGOTTEN: true,
  NO_RUN: true,
  NOT_ENDED: true,
  NOT_ANSWERED: true,
  NO_CALLBACK: true,
  CALLBACK_ENDED: true,
  DEADLOCK: true,
  LOCK_TIMEOUT: true,
  LOCK_LOST: true,
  BUCKET_MISMATCH: true,
  LOG_MISMATCH: true,
  CONSUMER_LIMIT: true,
  STREAM_BROKEN: true,
  UNSUPPORTED: true,
  ID_TAKEN: true,
  CLOSED: true,
};

/** The code of a {@link CatgaError}: Catga's, or the code that a handler gave to `fail`. */
export type Code = ErrorCode | AnyCode;

/** Any string, as a failure code; editors still suggest the known codes. */
export type AnyCode = string & Record<never, never>;

/** Options of a {@link CatgaError}, an error with a code. */
export interface CatgaErrorOptions {
  /** True if a retry may help. Catga itself does not retry a failure that a handler returned. Default: `false`. */
  retryable?: boolean | undefined;
  /**
   * Data for the program that gets the error. It crosses the network, so it must be a value that Catga can encode:
   * JSON, `Date`, `Map`, `bigint` and the like.
   */
  details?: unknown;
  /** The id of the node on which the failure happened. */
  node?: string | undefined;
  /**
   * True: if this failure is the result of an idempotent command, it is recorded, and repeated sends get it. Default:
   * `false`.
   */
  final?: boolean | undefined;
  /** The error that caused this one, for logs; it is not sent to other nodes. */
  cause?: unknown;
}

/**
 * The error of every failure: in a `Result`, thrown by `unwrap`, or the rejection of `catga` if a node cannot start.
 * The fields `code`, `message`, `retryable`, `details`, `node` and `final` are sent to other nodes; stack and cause
 * never are. `F`: the codes that the error may have besides Catga's own.
 *
 * @example
 * ```ts
 * import { CatgaError } from "@catga/catga";
 *
 * const error = new CatgaError("OUT_OF_TEA", "no tea left", { retryable: true });
 * console.log(error.code, error.retryable); // OUT_OF_TEA true
 * ```
 */
export class CatgaError<F extends string = AnyCode> extends Error {
  /** Compile time only: without it `instanceof` would make the codes of an error `any`. */
  declare static readonly [Symbol.hasInstance]: (value: unknown) => value is CatgaError;
  /**
   * Always `"CatgaError"`. Recognize the error by this name, not by `instanceof`, because there may be several copies
   * of the class.
   */
  override readonly name: "CatgaError" = "CatgaError";
  /** Code of the failure, for programs. */
  readonly code: F | ErrorCode;
  /** True if a retry may help. */
  readonly retryable: boolean;
  /** Data for the program that gets the error. */
  readonly details: unknown;
  /** The id of the node on which the failure happened; `undefined`: on none. */
  readonly node: string | undefined;
  /** True: if this failure is the result of an idempotent command, it is recorded, and repeated sends get it. */
  readonly final: boolean;

  /** Makes an error. In a handler, return `fail(…)` instead. */
  constructor(code: F | ErrorCode, message: string, options: CatgaErrorOptions = {}) {
    if (typeof options !== "object" || options === null) {
      throw new TypeError(`CatgaError takes an object of options; got ${options}`);
    }
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details;
    this.node = options.node;
    this.final = options.final ?? false;
  }

  /** Returns the fields for `JSON.stringify`, which HTTP answers and logs use: without stack and cause. */
  toJSON(): Pick<CatgaError<F>, "name" | "code" | "message" | "retryable" | "details" | "node"> {
    const { name, code, message, retryable, details, node } = this;
    return { name, code, message, retryable, details, node };
  }
}

/** Returns true if a thrown value is a {@link CatgaError}, of this copy of the module or of another. Never throws. */
export function isCatgaError(error: unknown): error is CatgaError {
  try {
    return error instanceof CatgaError ||
      (error instanceof Error && error.name === "CatgaError" && typeof (error as { code?: unknown }).code === "string");
  } catch {
    return false; // the value is a proxy, or has a getter, that threw
  }
}

/** Makes an error for something that is out of reach now, so that a retry may help. */
export function unavailable(message: string, options?: Omit<CatgaErrorOptions, "retryable" | "final">): CatgaError {
  return new CatgaError("UNAVAILABLE", message, { ...options, retryable: true });
}

/**
 * Returns the status of an error: a handler's own code that is a number from 400 to 599 is used as it is; another code
 * of a handler is 422.
 */
export function statusOf({ code }: Pick<CatgaError, "code">): number {
  if (/^[45]\d\d$/.test(code)) return Number(code);
  return Object.hasOwn(STATUS, code) ? STATUS[code as keyof typeof STATUS] : OWN_CODE;
}

const STATUS: Record<ErrorCode | "RATE_LIMITED", number> = {
  INVALID_MESSAGE: 400,
  NO_HANDLER: 404,
  DEADLOCK: 409,
  ID_REUSED: 409,
  CONFLICT: 409,
  LOCK_LOST: 409,
  LOCK_TIMEOUT: 409,
  NO_RUN: 404,
  NOT_ANSWERED: 409,
  NO_CALLBACK: 404,
  CALLBACK_ENDED: 410,
  FORGOTTEN: 410,
  TOO_LARGE: 413,
  RATE_LIMITED: 429, // the behavior `rateLimit()` sets this code
  CANCELLED: 499,
  HANDLER_FAILED: 500,
  INVALID_RESPONSE: 500,
  LOG_MISMATCH: 503,
  UNSUPPORTED: 501,
  BUCKET_MISMATCH: 500,
  ID_TAKEN: 500,
  CLOSED: 503,
  DRAINING: 503,
  OVERLOADED: 503,
  UNAVAILABLE: 503,
  CONSUMER_LIMIT: 503,
  STREAM_BROKEN: 503,
  OUTCOME_UNKNOWN: 504,
  TIMEOUT: 504,
  NOT_ENDED: 504,
};

const OWN_CODE = 422;
