/** Failures of messages whose handlers did not end: not begun, abandoned while they ran, or cancelled by the sender. */
import type { AnyContract } from "../contract/contract.ts";
import type { Failure } from "../contract/result.ts";
import { CatgaError, unavailable } from "../error.ts";
import { failure } from "./outcome.ts";

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
  const message = `${contract.kind} ${contract.name} ${when} its sender gave up (${reason.code}): it may have run`;
  return failure("OUTCOME_UNKNOWN", message, { cause: reason });
}

/** The error of a send that its caller has cancelled. */
export function cancelled(contract: AnyContract): CatgaError {
  return new CatgaError("CANCELLED", `the sender of ${contract.kind} ${contract.name} gave up`);
}
