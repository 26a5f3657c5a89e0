/** Entity tags of answers. */
import process from "node:process";

/** Returns the strong entity tag of a text: equal texts have equal tags, different texts have different tags. */
export function etagOf(text: string): string {
  // loaded at first use, like in `data/fingerprint.ts`
  return `"${process.getBuiltinModule("node:crypto").hash("sha1", text, "base64url")}"`;
}
