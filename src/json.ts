/** Values as JSON texts. */
import { CatgaError } from "./error.ts";

/**
 * A value as JSON. Throws a `CatgaError` of this code, which begins with `what`, for what JSON does not have: a bigint, a
 * cycle, a function, `undefined`.
 */
export function toJson(value: unknown, code: "INVALID_MESSAGE" | "INVALID_RESPONSE", what: string): string {
  let text: string | undefined;
  let why = `it is a ${typeof value}`;
  let cause: unknown;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    cause = error;
    why = error instanceof Error ? error.message.split("\n")[0] : String(error);
  }
  if (text !== undefined) return text;
  throw new CatgaError(code, `${what} cannot be encoded as JSON: ${why}`, cause === undefined ? {} : { cause });
}
