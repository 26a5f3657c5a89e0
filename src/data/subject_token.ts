/** Encodes names of contracts, keys and ids as tokens of NATS subjects, and decodes them. */
import { PLAIN_TOKEN } from "./checks.ts";
import { encoder } from "./utf8.ts";

/**
 * Encodes any well-formed string as one token of a NATS subject: letters, digits, `-` and `_` stay; other bytes become
 * `=` and two hex digits.
 */
export function encodeToken(text: string): string {
  if (PLAIN_TOKEN.test(text)) return text;
  let made = "";
  for (const byte of encoder.encode(text)) {
    const char = String.fromCharCode(byte);
    made += /[\w-]/.test(char) ? char : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return made === "" ? "=" : made;
}

/** Decodes a token of a NATS subject; returns `undefined` if {@link encodeToken} did not make it. */
export function decodeToken(text: string): string | undefined {
  if (PLAIN_TOKEN.test(text)) return text;
  if (text === "=") return "";
  if (!/^(?:[\w-]|=[0-9A-F]{2})+$/.test(text)) return undefined;
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "=") bytes.push(text.charCodeAt(i));
    else bytes.push(Number.parseInt(text.slice(i + 1, i += 3), 16)), i--;
  }
  try {
    const made = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    return encodeToken(made) === text ? made : undefined;
  } catch {
    return undefined; // the bytes are not UTF-8
  }
}
