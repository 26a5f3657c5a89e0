/** Values as JSON texts. */
import { CatgaError } from "./error.ts";

/**
 * A value as JSON. Throws a `CatgaError` of this code, which begins with `what` and the name that it is `of`, for what
 * JSON does not have: a bigint, a cycle, a function, `undefined`.
 */
export function toJson(
  value: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  what: string,
  of?: string,
): string {
  let text: string | undefined;
  let cause: { readonly cause: unknown } | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    cause = { cause: error };
  }
  if (text !== undefined) return text;
  const why = cause === undefined ? `it is a ${typeof value}` : reason(cause.cause);
  throw new CatgaError(code, `${what}${of === undefined ? "" : ` of ${of}`} cannot be encoded as JSON: ${why}`, cause);
}

/** What the runtimes say of the two things that they do not encode; what a `toJSON` or a getter threw may be for no one's eyes. */
function reason(error: unknown): string {
  const why = "its toJSON, or a getter, threw";
  // what else is thrown may have getters that throw, too
  if (!(error instanceof Error)) return why;
  const { name, message } = error;
  if (name === "TypeError" && /circular|cyclic/i.test(message)) return "it has a cycle";
  if (name === "TypeError" && /BigInt/i.test(message)) return "it has a bigint";
  if (name === "RangeError" && /stack/i.test(message)) return "it is nested too deeply";
  return why;
}
