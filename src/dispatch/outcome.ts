/**
 * The outcome of a message at its node: the handler's result, or a refusal, which promises that the handler did not
 * run; and the failures of messages whose handlers did not end.
 */
import { type AnyContract, type Kind, withArticle } from "../contract/declaration/contract.ts";
import type { AnyWorkflow } from "../contract/calls/flow.ts";
import type { Failure, Result } from "../contract/calls/result.ts";
import { CatgaError, type CatgaErrorOptions, type ErrorCode, unavailable } from "../error.ts";
import type { Dropped } from "./admission_queue.ts";

/** The outcome of a message at its node: a result, or a refusal (the handler did not run). */
export type Outcome = Result<unknown> | Refusal;

/** An outcome that may not be known yet: a promise, or an object with a `then` that costs less than a promise. */
export interface Later {
  then(ended: (outcome: Outcome) => void): unknown;
}

/** Returns the outcome as a result: a refusal becomes an error. */
export function asResult(outcome: Outcome): Result<unknown> {
  return outcome instanceof Refusal ? outcome.failure : plainResult(outcome);
}

/**
 * The failure of a message that this version of the contract refused, so that no handler began: its input schema did,
 * its function `key` or `id` makes nothing of the payload, or it is not idempotent, and the message may have run
 * before. A node with another version of the contract may accept it. An error that a schema throws, and any later
 * failure, is not a refusal. It is a class so that no handler can make one: a handler that returns the failure of its
 * own send has run.
 */
export class VersionRefusal implements Failure {
  readonly ok = false;
  readonly value = undefined;
  readonly error: CatgaError;
  /** True if this version refused a stored event of the entity, not the message itself. */
  readonly ofStored: boolean;

  constructor(error: CatgaError, { ofStored = false }: { readonly ofStored?: boolean } = {}) {
    this.error = error;
    this.ofStored = ofStored;
  }
}

/**
 * Marks the error of a stored event of an entity: this version of the program cannot apply the event, but a node with
 * another version may be able to. Returns the error.
 */
export function ofAnotherVersion(error: CatgaError): CatgaError {
  OF_ANOTHER_VERSION.add(error);
  return error;
}

/** Returns true for the error of an entity's stored event that another version of the program may be able to apply. */
export function isOfAnotherVersion(error: unknown): boolean {
  return OF_ANOTHER_VERSION.has(error as object);
}

const OF_ANOTHER_VERSION: Pick<WeakSet<object>, "add" | "has"> = new WeakSet();

/**
 * Returns a result in the form that a program gets: a {@link VersionRefusal} becomes a plain failure. Otherwise a
 * handler that returns the result of its own send would seem not to have run.
 */
export function plainResult(result: Result<unknown>): Result<unknown> {
  return result instanceof VersionRefusal ? { ok: false, error: result.error } : result;
}

/** Reason why a message was refused: its handler certainly did not run. */
export type RefusalCode = "OVERLOADED" | Dropped;

/**
 * The outcome of a message whose handler did not run. It is no {@link Result}, so that no result can be mistaken for
 * it: a handler that returns the failure of its own send has run.
 */
export class Refusal {
  readonly code: RefusalCode;
  readonly #ctx: RefusalOptions;

  constructor(code: RefusalCode, ctx: RefusalOptions) {
    this.code = code;
    this.#ctx = ctx;
  }

  /** Returns the time until the message's deadline, in ms. `now`: the time by the monotonic clock. */
  remaining(now: number): number {
    return this.#ctx.remaining(now);
  }

  /** The failure that a sender in this process receives. */
  get failure(): Failure {
    const { contract, node } = this.#ctx;
    const code = this.code === "LATE" ? "UNAVAILABLE" : this.code;
    const message = `${contract.kind} ${contract.name} did not run on node ${node}: ${WHY[this.code]}`;
    return failure(code, message, { retryable: code !== "DEADLOCK", node });
  }
}

/** Options with which a refusal is made. */
interface RefusalOptions {
  readonly contract: AnyContract;
  readonly node: string;
  remaining(now: number): number;
}

/** Reason why a message can never have its turn, and how to change the program. */
export const DEADLOCK_REASON =
  "every run that holds the turn waits for this message: a handler must not await what needs its own turn";

const WHY: Record<RefusalCode, string> = {
  OVERLOADED: "it could not have had its turn before its deadline",
  LATE: "it had not begun when it was given up",
  DRAINING: "it had not begun when the node stopped",
  DEADLOCK: DEADLOCK_REASON,
};

// Failures of messages that no handler got: no node has a handler, or the message was not sent.

/**
 * The failure of a request that no live node handles. `node`: the node that the sender's options named, which does not
 * handle it.
 */
export function noHandler(contract: AnyContract, node?: string): Failure {
  return failure(
    "NO_HANDLER",
    node === undefined
      ? `no live node handles ${contract.kind} ${contract.name}; start one with a handler for it, in the same namespace`
      : `node ${node} is not live, or does not handle ${contract.kind} ${contract.name}`,
  );
}

/** The failure of a request for which the routing strategy chose no node. */
export function noneChosen(contract: AnyContract): Failure {
  return failure("NO_HANDLER", `${unsent(contract)}: the strategy of its route chose none of the nodes that handle it`);
}

/** The failure of a request that this node does not handle, in an app without a cluster. */
export function noHandlerHere({ kind, name }: Pick<AnyContract | AnyWorkflow, "kind" | "name">): Failure {
  return failure(
    "NO_HANDLER",
    `no handler for ${kind} ${name}: pass one to catga() in \`handlers\`, or give \`nats\` to reach a node that has one`,
  );
}

/**
 * The error of a message that was sent as one kind (`kind`), while the node that handles its contract declares another
 * kind (`handled`).
 */
export function wrongKind(kind: Kind, name: string, handled: Kind, node: string): CatgaError {
  const message = `${kind} ${name} did not run: node ${node} handles ${withArticle(handled)} of this name; ` +
    `send the contract that its handler was made from`;
  return new CatgaError("INVALID_MESSAGE", message, { node });
}

/** The failure of a message that was aborted before it was sent. `reason`: the error with which it was aborted. */
export function notSent(contract: AnyContract, reason: CatgaError): Failure {
  if (reason.code !== "TIMEOUT") return { ok: false, error: reason };
  const message = `${unsent(contract)}: its schema, or a behavior around sends, had not ended at its deadline`;
  return { ok: false, error: unavailable(message, { cause: reason }) };
}

/** Returns the beginning of an error message: that this message, with its kind and name, was not sent. */
export function unsent({ kind, name }: AnyContract): string {
  return `${kind} ${name} was not sent`;
}

/** Makes a failed result. */
export function failure(code: ErrorCode, message: string, options?: CatgaErrorOptions): Failure {
  return { ok: false, error: new CatgaError(code, message, options) };
}

/** Reason, in words, why a handler did not begin: its message was aborted while a schema or behavior ran before it. */
export const NOT_PREPARED = "a schema or behavior before it had not ended";

/** The failure of a message that was aborted before its handler began: the handler certainly did not run. */
export function notBegun({ kind, name }: AnyContract, reason: CatgaError, why: string): Failure {
  if (reason.code !== "TIMEOUT") return { ok: false, error: reason };
  return { ok: false, error: unavailable(`${kind} ${name} did not run: ${why} in time`, { cause: reason }) };
}

/** The failure of a message that was aborted while its handler ran: the effects of a command may have happened. */
export function abandoned(contract: AnyContract, reason: CatgaError, when = "was running when"): Failure {
  if (contract.kind === "query" || contract.kind === "stream" || reason.code === "CANCELLED") {
    return { ok: false, error: reason };
  }
  const why = reason.code === "CLOSED" ? "its node stopped" : `its sender gave up (${reason.code})`;
  const message = `${contract.kind} ${contract.name} ${when} ${why}: it may have run`;
  return failure("OUTCOME_UNKNOWN", message, { cause: reason });
}

/** The error of a send that its caller has cancelled. */
export function cancelled(contract: AnyContract): CatgaError {
  return new CatgaError("CANCELLED", `the sender of ${contract.kind} ${contract.name} gave up`);
}
