/**
 * Asks the leader of a subscription: stores a request, which it carries out now, or the next one when there is none.
 */
import { CatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import { requestSubject } from "../format/names.ts";
import { type SubscriptionRequest, writeRequest } from "../format/subscription_request.ts";
import type { KeptCommits } from "./stored_subscriptions.ts";

/**
 * Stores a request under an id, in place of the last one of that id, if that has this sequence (0: there is none).
 * Resolves with whether it did: `false` when another one stands there, which may be this one, of an attempt whose
 * answer was lost. Rejects with a `CatgaError` when it cannot be stored, `OUTCOME_UNKNOWN` if it may have been.
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
    // once an attempt had no answer, none that certainly failed later says that it was not stored
    if (error?.code !== "OUTCOME_UNKNOWN") ({ error } = appended);
    const passing = appended.type === "unknown" || appended.passing;
    if (!passing || tries === MAX_ATTEMPTS) {
      const what = error.code === "OUTCOME_UNKNOWN" ? "may have been stored" : "was not stored";
      throw new CatgaError(error.code, `the request ${what}: ${error.message}`, { cause: error, retryable: passing });
    }
    await delay(clock, ATTEMPT_PAUSE * tries);
  }
}

/** How long the store may take to answer, in ms. */
const ANSWER_TIMEOUT = 5_000;
/** How often it is asked, and the pause before the next time, in ms. */
const [MAX_ATTEMPTS, ATTEMPT_PAUSE] = [4, 100];
