/**
 * Keys as subjects: no two keys have the same subject, and every subject is valid in NATS. A key is split at its first
 * "/" into two tokens, so that the server can filter a watch of `locks/`. A token of more than 200 characters is
 * hashed: `==` and its SHA-256, because a line of the protocol has at most 4,096 bytes; an entry with a hashed token
 * has its key stored in front of its value.
 */
import process from "node:process";
import { decodeToken, encodeToken } from "../../data/subject_token.ts";

const LONGEST_TOKEN = 200;

/**
 * Encodes a key of a bucket as a subject below the bucket's prefix: `locks/order:42` becomes `locks.order=3A42`.
 * Different keys have different subjects.
 */
export function encodeKey(key: string): string {
  const slash = key.indexOf("/");
  return slash < 0 ? encodePart(key) : `${encodePart(key.slice(0, slash))}.${encodePart(key.slice(slash + 1))}`;
}

/** Returns true if a subject contains a hash in place of a long key; {@link unpackValue} then returns the key. */
export function isHashed(subject: string): boolean {
  return subject.startsWith("==") || subject.includes(".==");
}

/** Decodes the key in a subject; `undefined` if the subject contains a hash, or was not made by {@link encodeKey}. */
export function decodeKey(subject: string): string | undefined {
  if (isHashed(subject)) return undefined;
  const parts = subject.split(".").map(decodeToken);
  const key = parts.includes(undefined) ? undefined : parts.join("/");
  return key !== undefined && encodeKey(key) === subject ? key : undefined;
}

/** Returns the part of a subject behind a bucket's prefix; `undefined` for a subject without the prefix. */
export function subjectBelow(prefix: string, subject: string): string | undefined {
  return subject.startsWith(prefix) ? subject.slice(prefix.length) : undefined;
}

/** Returns a subject filter that matches every key that starts with `prefix`, and perhaps other keys. */
export function prefixFilter(prefix: string): string {
  const slash = prefix.indexOf("/");
  return slash < 0 ? ">" : `${encodePart(prefix.slice(0, slash))}.*`;
}

/** Encodes a value for storing it under a subject; if the subject contains a hash, the key is stored with it. */
export function packValue(subject: string, key: string, value: string): string {
  return isHashed(subject) ? `${JSON.stringify(key)}\n${value}` : value;
}

/** Decodes the key and value stored under a subject; `undefined` for data that {@link packValue} has not made. */
export function unpackValue(subject: string, stored: string): { key: string; value: string } | undefined {
  if (!isHashed(subject)) {
    const key = decodeKey(subject);
    return key === undefined ? undefined : { key, value: stored };
  }
  // the key is in the first line: JSON on one line contains no line break
  const end = stored.indexOf("\n");
  try {
    const key: unknown = JSON.parse(stored.slice(0, end));
    return typeof key === "string" && encodeKey(key) === subject ? { key, value: stored.slice(end + 1) } : undefined;
  } catch {
    // the data was not written by Catga
    return undefined;
  }
}

function encodePart(part: string): string {
  const made = encodeToken(part);
  return made.length <= LONGEST_TOKEN ? made : `==${hash(part)}`;
}

function hash(text: string): string {
  // the module is loaded when needed: it would cost every start 3 ms and 1 to 2 MB (measured), and few keys are that
  // long
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha256").update(text).digest("base64url");
}
