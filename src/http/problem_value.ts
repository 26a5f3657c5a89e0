/** Problem details for Catga's client. */
import { encodeValue } from "../data/encoding.ts";
import { type CatgaError, isErrorCode } from "../error.ts";
import { problem } from "./respond.ts";

/** Problem details as a value with tags, so that details arrive as what they were. */
export function problemValue(error: CatgaError, status: number): string {
  const { code, message, details, retryable } = error;
  const isShown = status < 500 || !isErrorCode(code);
  try {
    return encodeValue({ status, code, retryable, ...(isShown ? { detail: message, details } : {}) }, "problem");
  } catch {
    return problem(error, status); // details that cannot be sent
  }
}
