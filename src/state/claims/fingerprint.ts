/** Fingerprints of payloads, which detect reuse of an id: equal JSON has the same one, whatever the order of its keys. */
import process from "node:process";
import { jsonText } from "../../data/json_text.ts";

/**
 * The SHA-256 of a value's canonical JSON (RFC 8785's order of keys), 43 letters, digits, `-` and `_`. A value has the
 * fingerprint of its JSON: a `Date` that of its text. Throws a `TypeError` for what JSON cannot encode.
 */
export function fingerprint(value: unknown): string {
  // `undefined` has no JSON: the empty text stands for it
  const canonical = jsonText(value, { sorted: true }) ?? "";
  // loaded on first use: it costs 3 ms and 1 to 2 MB (docs/internals/measurements.md), and most programs do not need it
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha256").update(canonical).digest("base64url");
}
