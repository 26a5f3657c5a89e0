/** Errors as clients of NATS services expect them: a message and a number, in headers. */
import type { CatgaError, ErrorCode } from "../../error.ts";
import { printable } from "../../data/printable.ts";

/** HTTP status codes. A handler's own code that is such a number is used as it is; other codes become 422. */
const STATUS: Record<ErrorCode, number> = {
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
  OUTCOME_UNKNOWN: 504,
  TIMEOUT: 504,
};

/** The status code of an error. */
export function statusOf({ code }: CatgaError): number {
  if (/^[45]\d\d$/.test(code)) return Number(code);
  return Object.hasOwn(STATUS, code) ? STATUS[code as ErrorCode] : OWN_CODE;
}

/** The headers of an error. Long texts are cut: the body has them in full. */
export function errorHeaders(error: CatgaError): Record<string, string> {
  return {
    "Nats-Service-Error": line(error.message, MAX_MESSAGE) || error.name,
    "Nats-Service-Error-Code": String(statusOf(error)),
    "Catga-Error-Code": line(error.code, MAX_CODE),
  };
}

/** A text on one line that is safe in a header and on a terminal. */
function line(text: string, length: number): string {
  // deno-lint-ignore no-control-regex
  const line = text.slice(0, length).replace(/[\x00-\x1f\x7f]+/g, " ");
  return printable(line).slice(0, length).trim();
}

const OWN_CODE = 422;
const MAX_MESSAGE = 512;
const MAX_CODE = 128;
