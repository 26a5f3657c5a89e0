/**
 * Errors as text, on the wire and in the recorded results of idempotent commands. Only the members named here are sent:
 * no stack leaves the node. An error that a handler throws, and that is no `CatgaError`, never gets here:
 * `HandlerCall.thrown` (`handler_call.ts`) has replaced it by `HANDLER_FAILED`, without its text.
 */
import { CatgaError } from "../error.ts";
import { isRecord, show } from "../data/checks.ts";
import { encodeValue, toJson } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";
import type { Failure } from "../contract/calls/result.ts";

/**
 * Writes an error as text (`data/encoding.ts`) of at most `limit` bytes: code, message, retryable, final, node and
 * details; never a stack or a cause. Details that cannot be sent, or are too large, are replaced by a note that says
 * so.
 */
export function writeError(error: CatgaError, limit: number): string {
  return write(error, limit, (members) => encodeValue(members, "error"));
}

/** Writes an error as plain JSON, for NATS clients that do not use Catga. `limit`: maximum size, in bytes. */
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
    text = JSON.stringify({ ...plain, details: UNSENDABLE_DETAILS });
  }
  if (!exceeds(text, limit)) return text;
  text = JSON.stringify({ ...plain, details: "(the details are too large for the server)" });
  if (!exceeds(text, limit)) return text;
  return JSON.stringify({
    code: code.slice(0, MAX_CODE),
    message: `${message.slice(0, 256).toWellFormed()}…`,
    retryable,
    final: final || undefined,
  });
}

/**
 * Makes an error from its text, parsed (`wire`). The text came from the network, so invalid members are left out.
 * `node`: the node that sent it.
 */
export function readError(wire: unknown, node: string): CatgaError {
  const { code, message, retryable, details, final, node: origin } = isRecord(wire) ? wire : {};
  return new CatgaError(
    typeof code === "string" && code !== "" ? code.slice(0, MAX_CODE) : "HANDLER_FAILED",
    typeof message === "string" ? message : "the node answered with a failure that says nothing",
    {
      retryable: retryable === true,
      final: final === true,
      details,
      node: [origin, node].find((id): id is string => typeof id === "string" && /^[A-Za-z0-9_-]{1,64}$/.test(id)),
    },
  );
}

/** Maximum length of the code of an error that is sent, in characters. */
export const MAX_CODE = 128;
/** Text in place of details that cannot be encoded. */
export const UNSENDABLE_DETAILS = "(the details could not be sent)";

// Plain errors, whose members have the right types and are no getters, in place of the errors that handlers and
// behaviors return or throw: programs may define any members on these, also getters that throw.

/**
 * Returns the failure itself if its error is plain; else a failure with the readable members of the error. Never
 * throws.
 */
export function plainFailure(failure: Failure): Failure {
  const error: unknown = read(failure, "error");
  const plain = plainError(error);
  return plain === error ? failure : { ok: false, error: plain };
}

/**
 * Returns the error itself if its members have the right types and are no getters; else an error with its readable
 * members, and with the code `HANDLER_FAILED` if it has no code. Never throws.
 */
export function plainError(error: unknown): CatgaError {
  if (isPlain(error)) return error;
  const [code, message, node] = [read(error, "code"), read(error, "message"), read(error, "node")];
  return new CatgaError(
    typeof code === "string" && code !== "" ? code : "HANDLER_FAILED",
    typeof message === "string"
      ? message
      : `the handler failed with an error whose message is no text: ${show(message)}`,
    {
      retryable: read(error, "retryable") === true,
      final: read(error, "final") === true,
      details: read(error, "details"),
      node: typeof node === "string" ? node : undefined,
      cause: error,
    },
  );
}

function isPlain(error: unknown): error is CatgaError {
  if (typeof error !== "object" || error === null) return false;
  try {
    if (MEMBERS.some((name) => Object.getOwnPropertyDescriptor(error, name)?.get !== undefined)) return false;
    const { code, message, retryable, final, node } = error as Partial<Record<typeof MEMBERS[number], unknown>>;
    return typeof code === "string" && typeof message === "string" && isOptional(retryable, "boolean") &&
      isOptional(final, "boolean") && isOptional(node, "string");
  } catch {
    return false; // the value is a proxy, or has a getter of its class
  }
}

function isOptional(value: unknown, type: "boolean" | "string"): boolean {
  return value === undefined || typeof value === type;
}

function read(from: unknown, name: string): unknown {
  try {
    return (from as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

const MEMBERS = ["code", "message", "retryable", "final", "details", "node"] as const;
