/**
 * Repeats an operation of a starting node for as long as a store of three servers may be without a leader. A single
 * operation gives up earlier.
 */
import type { CatgaError } from "../error.ts";
import { backoff, type Clock, delay, type Random } from "./clock.ts";

/**
 * Time for which a store of three servers may be without a leader, in ms: 10 s, and up to 15 s were seen on busy
 * machines.
 */
const ELECTION = 15_000;

/**
 * Calls `work`, which may be done twice, again as long as it rejects with a retryable `UNAVAILABLE`; the last attempt
 * begins at most 15 s from now. Rejects like the last attempt, or with the signal's reason.
 */
export async function throughElection<T>(
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const end = clock.monotonic() + ELECTION;
  for (let failures = 0;; failures++) {
    try {
      return await work();
    } catch (error) {
      const { code, retryable } = error as Partial<CatgaError>;
      if (code !== "UNAVAILABLE" || retryable !== true || clock.monotonic() >= end) throw error;
    }
    await delay(clock, backoff(random, failures, 40, 500), signal);
  }
}
