/**
 * Errors of nats.js, recognised by `name` and `message`: `instanceof` fails for a connection that comes from another
 * copy of the library.
 */
import { CatgaError, unavailable } from "../../error.ts";
import type { TransportStatus, Violation } from "../../ports/transport.ts";

/** Kind of a failed request. */
export type RequestFailure =
  /** The subject has no subscriber: the request was certainly not handled. */
  | "no responders"
  /** No answer in time, or the connection was lost: the request may have been handled. */
  | "timeout"
  /** The NATS user lacks the permission. */
  | "forbidden"
  /** The connection is closed. */
  | "closed"
  /** The message is larger than the server's `max_payload`. */
  | "too large"
  | "other";

/** Returns the kind of failure with which nats.js rejected a request, or threw when publishing. */
export function failure(error: unknown): RequestFailure {
  // nats.js wraps the cause in a RequestError
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

/**
 * Returns the permission whose lack is the cause of an error; `undefined` for another error. If the permission is
 * about a consumer, all consumers of its stream are named, because consumer names are random.
 */
export function violation(error: unknown): Violation | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { name, operation, subject } = cause as Error & { operation?: unknown; subject?: unknown };
    if (name !== "PermissionViolationError") continue;
    const needed = String(subject).replace(OF_CONSUMER, "$1>");
    return { operation: operation === "publish" ? operation : "subscribe", subject: needed };
  }
  return undefined;
}

const OF_CONSUMER = /^(\$JS\.API\.CONSUMER\.\w+\.[^.]+\.).+$/;

/** Makes the error for an operation on a closed connection. */
export function connectionClosed(): CatgaError {
  return new CatgaError("CLOSED", "the connection to NATS is closed");
}

/**
 * Makes the error for an operation on a connection that is lost and will be back.
 * @decides texts of errors of requests and connections, but not of missing rights: `mayNot` of the room `ports`
 */
export function connectionLost(cause?: unknown): CatgaError {
  return unavailable("the connection to NATS is lost; reconnecting", { cause });
}

/** Makes the error for an operation in this state of the connection, which is not `connected`. */
export function notConnected(state: TransportStatus["state"]): CatgaError {
  return state === "closed" ? connectionClosed() : connectionLost();
}
