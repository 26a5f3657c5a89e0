/**
 * What nats.js throws, told by `name`, `code` and `message`: the user's connection may come from another copy of the
 * library than ours, and then `instanceof` fails.
 */
import { CatgaError } from "../error.ts";
import type { Violation } from "../ports/transport.ts";

/** How a request failed. */
export type Failure =
  /** Nobody listens on its subject: it was certainly not handled. */
  | "no responders"
  /** No answer in time, or the link went: it may have been handled. */
  | "timeout"
  /** The server does not let this user do it. */
  | "forbidden"
  /** The connection is closed. */
  | "closed"
  /** It does not fit into a message. */
  | "too large"
  | "other";

/** Why a request of nats.js was rejected, or a publish threw. */
export function failure(error: unknown): Failure {
  // nats.js wraps what went wrong in a RequestError
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { name, message } = cause;
    if (name === "NoResponders" || message.startsWith("no responders")) return "no responders";
    if (name === "TimeoutError" || message === "timeout" || message === "connection disconnected") return "timeout";
    if (name === "PermissionViolationError" || /permissions violation/i.test(message)) return "forbidden";
    if (name === "ClosedConnectionError" || name === "DrainingConnectionError") return "closed";
    if (message === "connection closed") return "closed";
    if (message.includes("max_payload size exceeded")) return "too large";
  }
  return "other";
}

/** What the server did not let this user do, when that is what an error says. */
export function violation(error: unknown): Violation | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { name, operation, subject } = cause as Error & { operation?: unknown; subject?: unknown };
    if (name !== "PermissionViolationError") continue;
    return { operation: operation === "publish" ? operation : "subscribe", subject: String(subject) };
  }
  return undefined;
}

/** The error for a message over the server's limit. */
export function tooLarge(size: number, limit: number, what = "message"): CatgaError {
  return new CatgaError(
    "TOO_LARGE",
    `a ${what} of ${size} bytes is over the server's limit of ${limit} bytes: send less, or raise max_payload in the ` +
      "configuration of nats-server",
    { details: { size, limit } },
  );
}

/** The error for what is done after the end of a connection. */
export function connectionClosed(): CatgaError {
  return new CatgaError("CLOSED", "the connection to NATS is closed");
}
