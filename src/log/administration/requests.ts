/**
 * Stores requests of operators to a subscription's leader, which carries them out; if no node leads, the next leader
 * does.
 */
import { CatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import { requestSubject } from "../format/names.ts";
import { type SubscriptionRequest, writeRequest } from "../format/subscription_request.ts";
import type { KeptCommits } from "./stored_subscriptions.ts";

/**
 * Stores a request under an id, if the last request stored under this id has the sequence `expect` (0: none is stored).
 * Resolves with true if the request was stored, with false if the last request under this id has another sequence; that
 * may be this very request, stored by an attempt whose answer was lost. Rejects with a `CatgaError` if the request
 * cannot be stored; with the code `OUTCOME_UNKNOWN` it may have been stored.
 */
export async function storeRequest(
  kept: KeptCommits,
  key: string,
  id: string,
  request: SubscriptionRequest,
  expect = 0,
): Promise<boolean> {
  return await storeMessage(kept, requestSubject(kept.namespace, key, id), writeRequest(request), expect);
}

/** Stores a message of operators in place of the last one of its subject, as {@link storeRequest} does a request. */
export async function storeMessage(
  { stream, clock }: KeptCommits,
  subject: string,
  text: string,
  expect: number,
): Promise<boolean> {
  let error: CatgaError | undefined;
  for (let tries = 1;; tries++) {
    const appended = await stream.append(subject, text, {
      timeout: ANSWER_TIMEOUT,
      expect,
      rollup: true,
    });
    if (appended.type === "stored") return true;
    if (appended.type === "conflict") return false;
    // keep OUTCOME_UNKNOWN of an earlier attempt without an answer: it may have stored the request, although a later
    // one failed
    if (error?.code !== "OUTCOME_UNKNOWN") ({ error } = appended);
    const transient = appended.type === "unknown" || appended.transient;
    if (!transient || tries === MAX_ATTEMPTS) {
      const what = error.code === "OUTCOME_UNKNOWN" ? "may have been stored" : "was not stored";
      throw new CatgaError(error.code, `the request ${what}: ${error.message}`, { cause: error, retryable: transient });
    }
    await delay(clock, ATTEMPT_PAUSE * tries);
  }
}

/** Time for which an attempt to store a request waits for its acknowledgement, in ms. */
const ANSWER_TIMEOUT = 5_000;
/**
 * Maximum number of attempts to store a request; `ATTEMPT_PAUSE`: pause after the first attempt, in ms, which grows
 * with each.
 */
const [MAX_ATTEMPTS, ATTEMPT_PAUSE] = [4, 100];
