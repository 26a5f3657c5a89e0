/**
 * Fingerprints of payloads, which detect reuse of an id: equal values have the same fingerprint, whatever the order of
 * their keys.
 */
import process from "node:process";
import { TILDE } from "./tags.ts";
import { valueText } from "./value_text.ts";

/**
 * Returns the SHA-256 of a value's canonical text as 43 letters, digits, `-` and `_`. The canonical text is the value's
 * JSON with keys in the order of RFC 8785; for values that JSON lacks, it is `~` followed by such JSON with tags.
 * Members that are `undefined` are ignored. Throws a `TypeError` for a value that cannot be sent.
 */
export function fingerprint(value: unknown): string {
  // the module is loaded on first use, because it costs 3 ms and 1 to 2 MB (measured), and most programs do not need it
  return process.getBuiltinModule("node:crypto").hash("sha256", canonicalText(value), "base64url");
}

function canonicalText(value: unknown): string {
  // `undefined` has no JSON, so the empty text stands for it
  if (value === undefined) return "";
  const { text, tagged, escaped } = valueText(value, "canonical", "payload");
  if (tagged) return TILDE + text;
  return escaped ? valueText(value, "canonical-json", "payload").text : text;
}
