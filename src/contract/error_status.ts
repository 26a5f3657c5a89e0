/**
 * The HTTP status for each error code: for plain NATS clients, which expect such a number in an error, and for HTTP
 * (`http/respond.ts` has another status for `NO_HANDLER`).
 */
import type { CatgaError, ErrorCode } from "../error.ts";

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
