/**
 * Keys as subjects. A key is split at its first "/" into two tokens, so that a watch of `locks/` is filtered by the
 * server; in each, bytes outside of `[A-Za-z0-9_-]` stand as `=XX`, and an empty part as `=`. A part that would be longer
 * than 200 is `==` and its SHA-256, for a line of the protocol has at most 4,096 bytes; the key itself then stands in
 * front of the value.
 */
import { Buffer } from "node:buffer";
import process from "node:process";

const LONGEST_TOKEN = 200;

/** A key as a subject below the bucket's own: `locks/order:42` is `locks.order=3A42`. No two keys are the same. */
export function encodeKey(key: string): string {
  const slash = key.indexOf("/");
  return slash < 0 ? encodePart(key) : `${encodePart(key.slice(0, slash))}.${encodePart(key.slice(slash + 1))}`;
}

/** Whether a subject holds a hash: then the key is read with {@link unpackValue}. */
export function isHashed(subject: string): boolean {
  return subject.startsWith("==") || subject.includes(".==");
}

/** The key of a subject; `undefined` when the subject is hashed, or was not made by {@link encodeKey}. */
export function decodeKey(subject: string): string | undefined {
  if (isHashed(subject)) return undefined;
  const parts = subject.split(".");
  if (parts.length > 2) return undefined;
  const key = parts.map(decodePart).join("/");
  return encodeKey(key) === subject ? key : undefined;
}

/** The subjects of all keys that start with `prefix`, and perhaps of others. */
export function prefixFilter(prefix: string): string {
  const slash = prefix.indexOf("/");
  return slash < 0 ? ">" : `${encodePart(prefix.slice(0, slash))}.*`;
}

/** A value as it is stored under a subject. */
export function packValue(subject: string, key: string, value: string): string {
  return isHashed(subject) ? `${JSON.stringify(key)}\n${value}` : value;
}

/** The key and value of what is stored under a subject; `undefined` when it was not made by {@link packValue}. */
export function unpackValue(subject: string, stored: string): { key: string; value: string } | undefined {
  if (!isHashed(subject)) {
    const key = decodeKey(subject);
    return key === undefined ? undefined : { key, value: stored };
  }
  // JSON has no raw line breaks
  const end = stored.indexOf("\n");
  try {
    const key: unknown = JSON.parse(stored.slice(0, end));
    return typeof key === "string" && encodeKey(key) === subject ? { key, value: stored.slice(end + 1) } : undefined;
  } catch {
    // somebody else's
    return undefined;
  }
}

function encodePart(part: string): string {
  if (part === "") return "=";
  if (part.length <= LONGEST_TOKEN && /^[\w-]+$/.test(part)) return part;
  let token = "";
  for (const byte of Buffer.from(part)) {
    const character = String.fromCharCode(byte);
    token += /[\w-]/.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    if (token.length > LONGEST_TOKEN) return `==${hash(part)}`;
  }
  return token;
}

function hash(text: string): string {
  // loaded when it is needed: it costs every start 3 ms and 1 to 2 MB (measured), and few keys are as long
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha256").update(text).digest("base64url");
}

function decodePart(token: string): string {
  if (token === "=") return "";
  return Buffer.from(token.replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), "latin1")
    .toString();
}
