/** Errors as JSON: on the wire, and in the recorded results of idempotent commands. A stack never leaves the node. */
import { CatgaError } from "../error.ts";
import { isRecord } from "../data/is_record.ts";
import { stringify } from "../data/json.ts";
import { exceeds } from "../data/utf8.ts";

/**
 * An error as JSON of at most `limit` bytes: code, message, retryable, final, node and details; never a stack, never a cause.
 * Details that cannot be encoded, or are too large, are replaced by a note that says so.
 */
export function writeError({ code, message, retryable, details, node, final }: CatgaError, limit: number): string {
  const plain = { code, message, retryable: retryable || undefined, final: final || undefined, node };
  let text: string;
  try {
    text = stringify({ ...plain, details })!; // an object has a text
  } catch {
    text = JSON.stringify({ ...plain, details: "(the details could not be encoded as JSON)" });
  }
  if (!exceeds(text, limit)) return text;
  text = JSON.stringify({ ...plain, details: "(the details are too large for the server)" });
  if (!exceeds(text, limit)) return text;
  return JSON.stringify({
    code: code.slice(0, MAX_CODE),
    message: message.slice(0, 256),
    retryable,
    final: plain.final,
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
