/**
 * Errors of claims (one attempt's right to run an idempotent command): results for senders that get no result from a
 * handler, and errors that abort handlers.
 */
import { thrownMessage } from "../../data/cause_text.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import { fail, type Failure } from "../../contract/calls/result.ts";
import type { Claimant } from "../../dispatch/context_host.ts";

/**
 * Known runs of a command's id, ended or running. `new`: none; `elsewhere`: a run of another attempt; `here`: a run
 * of this attempt.
 */
export type Ran = "new" | "elsewhere" | "here";

/**
 * Makes the result for the sender of an attempt that ended with an error instead of a handler's result. `over`: why the
 * sender has stopped waiting; `last`: the last error of the store.
 */
export function withoutResult(
  claimant: Claimant,
  error: unknown,
  { ran, over, last, observer }: { ran: Ran; over: CatgaError | undefined; last?: unknown; observer: Observer },
): Failure {
  const { contract } = claimant;
  if (!isCatgaError(error)) {
    if (ran !== "new") {
      observer({ type: "fault", during: `keeping a result of ${contract}`, error });
      return outcomeUnknown(claimant, "there is no result", error);
    }
    // an error of this type (for an invalid key) is the sender's mistake
    const invalid = error instanceof TypeError || error instanceof RangeError;
    if (!invalid) observer({ type: "fault", during: `claiming an id of ${contract}`, error });
    const message = `${contract}: its id cannot be claimed: ${thrownMessage(error)}`;
    return fail(invalid ? "INVALID_MESSAGE" : "UNAVAILABLE", message, { cause: error });
  }
  if (error.code === "CANCELLED") return { ok: false, error };
  if (ran !== "new") return outcomeUnknown(claimant, `there is no result yet (${error.message})`, error);
  if (error.code === "CLOSED" || (error !== over && error.code !== "UNAVAILABLE")) return { ok: false, error };
  const why = last instanceof Error ? `; last error: ${last.message}` : "";
  const message = `command ${contract} did not run: its id could not be claimed (${error.message}${why})`;
  return fail("UNAVAILABLE", message, { retryable: true, cause: error });
}

/** Makes the failure `OUTCOME_UNKNOWN`: the command may have run, and its result is not known. */
export function outcomeUnknown({ contract }: Claimant, why: string, cause?: unknown): Failure {
  const message = `command ${contract} may have run: ${why}. Send it again with the same id`;
  return fail("OUTCOME_UNKNOWN", message, { retryable: true, ...(cause === undefined ? {} : { cause }) });
}

/** Makes the failure `ID_REUSED`: the command's id was used with another payload before. */
export function idReused({ contract, id }: Claimant): Failure {
  const message = `the id ${JSON.stringify(id)} of ${contract} came before with another payload; give each its own`;
  return fail("ID_REUSED", message);
}

/** Makes the failure `INVALID_RESPONSE`: the entry stored for the command's id was not written by Catga. */
export function noClaim(key: string, bucket: string): Failure {
  const message = `the entry under ${JSON.stringify(key)} in the bucket ${bucket} is not a claim; delete it`;
  return fail("INVALID_RESPONSE", message);
}

/** Makes the error with which a run is aborted because another attempt may have its claim. */
export function claimLost({ contract, id }: Claimant, why: string): CatgaError {
  const message = `the claim of ${contract} (id ${id.slice(0, 80)}) is lost: ${why}. Stop: another attempt may run`;
  return new CatgaError("OUTCOME_UNKNOWN", message, { retryable: true });
}

/** Makes the error `CLOSED`: this node stops. */
export function claimsClosed(): CatgaError {
  return new CatgaError("CLOSED", "the app is stopped");
}
