/** Errors as text, on the wire and in the recorded results of idempotent commands. Only named members are sent: no stack leaves the node. */
import { CatgaError } from "../error.ts";
import { isRecord } from "../data/is_record.ts";
import { encodeValue, toJson } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";

/**
 * An error as text (`data/encoding.ts`) of at most `limit` bytes: code, message, retryable, final, node and details; never a stack,
 * never a cause. Details that cannot be sent, or are too large, are replaced by a note that says so.
 */
export function writeError(error: CatgaError, limit: number): string {
  return write(error, limit, (members) => encodeValue(members, "error"));
}

/** The same as JSON, for those who read nothing else. */
export function writeErrorAsJson(error: CatgaError, limit: number): string {
  return write(error, limit, (members) => toJson(members, "INVALID_RESPONSE", "the error"));
}

function write(error: CatgaError, limit: number, encode: (members: object) => string): string {
  const { code, message, retryable, details, node, final } = error;
  const plain = {
    code,
    message,
    ...(retryable ? { retryable } : {}),
    ...(final ? { final } : {}),
    ...(node === undefined ? {} : { node }),
  };
  let text: string;
  try {
    text = encode(details === undefined ? plain : { ...plain, details });
  } catch {
    text = JSON.stringify({ ...plain, details: "(the details could not be sent)" });
  }
  if (!exceeds(text, limit)) return text;
  text = JSON.stringify({ ...plain, details: "(the details are too large for the server)" });
  if (!exceeds(text, limit)) return text;
  return JSON.stringify({
    code: code.slice(0, MAX_CODE),
    message: message.slice(0, 256),
    retryable,
    final: final || undefined,
  });
}

/** The error that such a text stands for; `wire` is the text, parsed. It came from the network: invalid members are left out. */
export function readError(wire: unknown, node: string): CatgaError {
  const { code, message, retryable, details, final, node: origin } = isRecord(wire) ? wire : {};
  return new CatgaError(
    typeof code === "string" && code !== "" ? code.slice(0, MAX_CODE) : "HANDLER_FAILED",
    typeof message === "string" ? message : "the node answered with a failure that says nothing",
    {
      retryable: retryable === true,
      final: final === true,
      details,
      node: [origin, node].find(isId),
    },
  );
}

const MAX_CODE = 128;

function isId(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9_-]{1,64}$/.test(value);
}
