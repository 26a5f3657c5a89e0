/** Tells payloads apart by what they are on the wire: equal JSON, whatever the order of its keys, has one fingerprint. */
import process from "node:process";
import { jsonText } from "../../data/json_text.ts";

/**
 * The SHA-256 of a value's canonical JSON (RFC 8785's order of keys), 43 letters, digits, `-` and `_`. A value has the
 * fingerprint of what it is after the wire: a `Date` that of its text. Throws a `TypeError` for what JSON cannot encode.
 */
export function fingerprint(value: unknown): string {
  // undefined is no JSON; its canonical text is empty
  const canonical = jsonText(value, { sorted: true }) ?? "";
  // loaded when it is needed: it costs every start 3 ms and 1 to 2 MB (measured), and most programs do without
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha256").update(canonical).digest("base64url");
}
