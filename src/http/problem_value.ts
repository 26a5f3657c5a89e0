/** Problem details for Catga's client. */
import { encodeValue } from "../data/encoding.ts";
import { type CatgaError, isErrorCode } from "../error.ts";
import { problem } from "./respond.ts";

/** Returns problem details as a value with tags, so that details keep their types. */
export function problemValue(error: CatgaError, status: number): string {
  const { code, message, details, retryable } = error;
  const isShown = status < 500 || !isErrorCode(code);
  try {
    return encodeValue({ status, code, retryable, ...(isShown ? { detail: message, details } : {}) }, "problem");
  } catch {
    return problem(error, status); // the details cannot be sent
  }
}
