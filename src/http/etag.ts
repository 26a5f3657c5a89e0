/** Entity tags (ETag) of HTTP responses. */
import process from "node:process";

/**
 * Returns the strong entity tag of a text: equal texts have equal tags, different texts have different tags.
 * @decides the ETag of an answer
 */
export function etagOf(text: string): string {
  // the module is loaded when it is first used, as in `data/value_text.ts`
  return `"${process.getBuiltinModule("node:crypto").hash("sha1", text, "base64url")}"`;
}
