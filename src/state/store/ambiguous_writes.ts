/**
 * Failures after which it is unknown if the store has performed a write, because the acknowledgement may have been
 * lost. The caller reads such a write back, or makes it again by compare-and-set.
 */
import { type CatgaError, isCatgaError, unavailable } from "../../error.ts";
import { isForbidden } from "../../ports/transport.ts";

/** Returns true if a call of the store failed without an answer: a write may have happened. */
export function isAmbiguous(error: unknown): boolean {
  return isCatgaError(error) && error.code === "UNAVAILABLE" && !isForbidden(error);
}

/**
 * Makes the error for a read that contradicts the write before it: the server that answered the read lags behind, and a
 * repeated read may reach the stream's leader.
 */
export function staleAnswer(): CatgaError {
  return unavailable("the store's answer came from a server that lags behind");
}
