/** Values as JSON, at any depth, with errors that say why a value has no JSON. */
import { CatgaError } from "../error.ts";
import { jsonText } from "./json_text.ts";

/**
 * A value as JSON. Throws a `CatgaError` with this code for a value that JSON cannot encode: a bigint, a cycle, a function,
 * `undefined`. Its message begins with `what`, and the name of what it is `of`.
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

/** `JSON.stringify(value)`, also for values that are nested deeper than the runtime's own can encode. */
export function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value) as string | undefined;
  } catch (error) {
    if (!tooDeep(error)) throw error;
    return jsonText(value);
  }
}

/** Why a value cannot be encoded. What a `toJSON` or a getter threw may hold secrets, and is not part of it. */
function reason(error: unknown): string {
  const why = "its toJSON, or a getter, threw";
  // a thrown value that is not an Error may have getters that throw, too
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
