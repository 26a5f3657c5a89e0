/** Failures of messages that reached no handler: no node has one, or the message was not sent. */
import type { AnyContract, Kind } from "../contract/contract.ts";
import type { Failure } from "../contract/result.ts";
import { CatgaError, type ErrorCode } from "../error.ts";

/** The failure of a request that no live node handles, or that the node named in the options does not. */
export function noHandler(contract: AnyContract, node?: string): Failure {
  return failure(
    "NO_HANDLER",
    node === undefined
      ? `no live node handles ${contract.kind} ${contract.name}; start one with a handler for it, in the same namespace`
      : `node ${node} is not live, or does not handle ${contract.kind} ${contract.name}`,
  );
}

/** The failure of a request that an app without a cluster has no handler for. */
export function noHandlerHere({ kind, name }: AnyContract): Failure {
  return failure(
    "NO_HANDLER",
    `no handler for ${kind} ${name}: pass one to catga() in \`handlers\`, or give \`nats\` to reach a node that has one`,
  );
}

/** The error of a message that is another kind of message where it is handled, on that node. */
export function wrongKind(kind: Kind, name: string, handled: Kind, node: string): CatgaError {
  const message =
    `${kind} ${name} did not run: node ${node} handles ${handled === "event" ? "an" : "a"} ${handled} of this name; ` +
    `send the contract that its handler was made from`;
  return new CatgaError("INVALID_MESSAGE", message, { node });
}

/** The failure of a message that was aborted before it was sent. */
export function notSent(contract: AnyContract, reason: CatgaError): Failure {
  if (reason.code !== "TIMEOUT") return { ok: false, error: reason };
  const message = `${unsent(contract)}: its schema, or a behavior around sends, had not ended at its deadline`;
  return { ok: false, error: new CatgaError("UNAVAILABLE", message, { retryable: true, cause: reason }) };
}

/** For error messages: what was not sent. */
export function unsent({ kind, name }: AnyContract): string {
  return `${kind} ${name} was not sent`;
}

/** A failed result. */
export function failure(code: ErrorCode, message: string): Failure {
  return { ok: false, error: new CatgaError(code, message) };
}
