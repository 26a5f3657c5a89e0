/** The failures of claims: what a sender gets without a result, and what aborts a run. */
import { CatgaError, isCatgaError } from "../../error.ts";
import { fail, type Failure } from "../../contract/result.ts";
import type { Observer } from "../../contract/observer.ts";
import type { Claimant } from "../../dispatch/shared_state.ts";

/** Who is known to have run an id, or to run it: nobody, another attempt, or this one. */
export type Ran = "new" | "elsewhere" | "here";

/** What the sender gets when an attempt ends with an error in place of a result; `over`: why its caller waits no longer. */
export function withoutResult(
  claimant: Claimant,
  error: unknown,
  { ran, over, observer }: { ran: Ran; over: CatgaError | undefined; observer: Observer },
): Failure {
  const { contract } = claimant;
  if (!isCatgaError(error)) {
    if (ran !== "new") {
      observer({ type: "fault", during: `keeping a result of ${contract}`, error });
      return outcomeUnknown(claimant, "there is no result", error);
    }
    // a key that no bucket takes is the sender's mistake
    const invalid = error instanceof TypeError || error instanceof RangeError;
    if (!invalid) observer({ type: "fault", during: `claiming an id of ${contract}`, error });
    const message = `${contract}: its id cannot be claimed: ${error instanceof Error ? error.message : error}`;
    return fail(invalid ? "INVALID_MESSAGE" : "UNAVAILABLE", message, { cause: error });
  }
  if (error.code === "CANCELLED") return { ok: false, error };
  if (ran !== "new") return outcomeUnknown(claimant, `there is no result yet (${error.message})`, error);
  if (error.code === "CLOSED" || (error !== over && error.code !== "UNAVAILABLE")) return { ok: false, error };
  const message = `command ${contract} did not run: its id could not be claimed (${error.message})`;
  return fail("UNAVAILABLE", message, { retryable: true, cause: error });
}

/** `OUTCOME_UNKNOWN`: the command may have run, and its result is not known. */
export function outcomeUnknown({ contract }: Claimant, why: string, cause?: unknown): Failure {
  const message = `command ${contract} may have run: ${why}. Send it again with the same id`;
  return fail("OUTCOME_UNKNOWN", message, { retryable: true, ...(cause === undefined ? {} : { cause }) });
}

/** `ID_REUSED`: the id was used with another payload. */
export function idReused({ contract, id }: Claimant): Failure {
  const message = `the id ${JSON.stringify(id)} of ${contract} came before with another payload; give each its own`;
  return fail("ID_REUSED", message);
}

/** `INVALID_RESPONSE`: the entry under the key of an id was not written by Catga. */
export function noClaim(key: string, bucket: string): Failure {
  const message = `the entry under ${JSON.stringify(key)} in the bucket ${bucket} is not a claim; delete it`;
  return fail("INVALID_RESPONSE", message);
}

/** Why the signal of a run aborts: another attempt may have its claim. */
export function claimLost({ contract, id }: Claimant, why: string): CatgaError {
  const message = `the claim of ${contract} (id ${id.slice(0, 80)}) is lost: ${why}. Stop: another attempt may run`;
  return new CatgaError("OUTCOME_UNKNOWN", message, { retryable: true });
}

/** `CLOSED`: this node stops. */
export function claimsClosed(): CatgaError {
  return new CatgaError("CLOSED", "the app is stopped");
}
