/** Problem details (RFC 9457: an error as JSON) in the form that Catga's client reads. */
import { encodeValue } from "../data/encoding.ts";
import { type CatgaError, isErrorCode } from "../error.ts";
import { problem } from "./respond.ts";

/**
 * Returns problem details as a value with tags, so that the details of the error keep types that JSON lacks. `more`:
 * members besides those of the error.
 */
export function problemValue(error: CatgaError, status: number, more: object = {}): string {
  const { code, message, details, retryable } = error;
  const isShown = status < 500 || !isErrorCode(code);
  try {
    const shown = isShown ? { detail: message, details } : {};
    return encodeValue({ status, code, retryable, ...shown, ...more }, "problem");
  } catch {
    return problem(error, status, more); // without tags, because the details of the error cannot be sent
  }
}
