/** Values as JSON texts. */
import { CatgaError } from "../error.ts";
import { jsonText } from "./json_text.ts";

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
    text = stringify(value);
  } catch (error) {
    cause = { cause: error };
  }
  if (text !== undefined) return text;
  const why = cause === undefined ? `it is a ${typeof value}` : reason(cause.cause);
  throw new CatgaError(code, `${what}${of === undefined ? "" : ` of ${of}`} cannot be encoded as JSON: ${why}`, cause);
}

/** `JSON.stringify(value)`, also of what is nested deeper than that of the runtime goes. */
export function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value) as string | undefined;
  } catch (error) {
    if (!tooDeep(error)) throw error;
    return jsonText(value);
  }
}

/** What the runtimes say of the two things that they do not encode; what a `toJSON` or a getter threw may be for no one's eyes. */
function reason(error: unknown): string {
  const why = "its toJSON, or a getter, threw";
  // what else is thrown may have getters that throw, too
  if (!(error instanceof Error)) return why;
  const { name, message } = error;
  if (name === "TypeError" && /circular|cyclic/i.test(message)) return "it has a cycle";
  if (name === "TypeError" && /BigInt/i.test(message)) return "it has a bigint";
  if (tooDeep(error)) return "it is nested too deeply";
  return why;
}

function tooDeep(error: unknown): boolean {
  return error instanceof RangeError && /stack/i.test(error.message);
}
