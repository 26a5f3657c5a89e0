/** Errors that handlers and behaviors end with, made plain: programs may define any members, and getters that throw. */
import { show } from "../data/checks.ts";
import type { Failure } from "../contract/result.ts";
import { CatgaError } from "../error.ts";

/** The failure itself, if its error is plain; else one with what can be read of it. Never throws. */
export function plainFailure(failure: Failure): Failure {
  const error: unknown = read(failure, "error");
  const plain = plainError(error);
  return plain === error ? failure : { ok: false, error: plain };
}

/**
 * The error itself, if its members are of their types and no getters; else one with what can be read of it, and with the code
 * `HANDLER_FAILED` if it has none. Never throws.
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
    return false; // a proxy, or a getter of its class
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
