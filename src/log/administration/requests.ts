/** Stores requests to the leader of a subscription, which carries them out; if there is none, the next leader does. */
import { CatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import { requestSubject } from "../format/names.ts";
import { type SubscriptionRequest, writeRequest } from "../format/subscription_request.ts";
import type { KeptCommits } from "./stored_subscriptions.ts";

/**
 * Stores a request under an id, in place of the last request with this id if that has this sequence (0: there is none).
 * Resolves with true if it was stored, with false if another request is there; that may be this one, from an attempt
 * whose answer was lost. Rejects with a `CatgaError` if it cannot be stored; `OUTCOME_UNKNOWN`: it may have been.
 */
export async function storeRequest(
  { stream, namespace, clock }: KeptCommits,
  key: string,
  id: string,
  request: SubscriptionRequest,
  expect = 0,
): Promise<boolean> {
  const subject = requestSubject(namespace, key, id);
  let error: CatgaError | undefined;
  for (let tries = 1;; tries++) {
    const appended = await stream.append(subject, writeRequest(request), {
      timeout: ANSWER_TIMEOUT,
      expect,
      rollup: true,
    });
    if (appended.type === "stored") return true;
    if (appended.type === "conflict") return false;
    // after an attempt without an answer, the certain failure of a later attempt does not say that nothing was stored
    if (error?.code !== "OUTCOME_UNKNOWN") ({ error } = appended);
    const passing = appended.type === "unknown" || appended.passing;
    if (!passing || tries === MAX_ATTEMPTS) {
      const what = error.code === "OUTCOME_UNKNOWN" ? "may have been stored" : "was not stored";
      throw new CatgaError(error.code, `the request ${what}: ${error.message}`, { cause: error, retryable: passing });
    }
    await delay(clock, ATTEMPT_PAUSE * tries);
  }
}

/** Timeout of an attempt, in ms. */
const ANSWER_TIMEOUT = 5_000;
/** Maximum number of attempts; `ATTEMPT_PAUSE`: pause between them, in ms. */
const [MAX_ATTEMPTS, ATTEMPT_PAUSE] = [4, 100];
