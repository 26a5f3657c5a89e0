/**
 * Failures after which it is unknown if the store has performed a write: the acknowledgement may have been lost. Such a
 * write is read back, or made again by compare-and-set.
 */
import { type CatgaError, isCatgaError, unavailable } from "../../error.ts";
import { isForbidden } from "../../ports/transport.ts";

/** Returns true if a call failed without an answer of the store: a write may have happened. */
export function isAmbiguous(error: unknown): boolean {
  return isCatgaError(error) && error.code === "UNAVAILABLE" && !isForbidden(error);
}

/** Makes the error for a read that contradicts the write before it: another attempt may reach the stream's leader. */
export function staleAnswer(): CatgaError {
  return unavailable("the store's answer came from a server that lags behind");
}
