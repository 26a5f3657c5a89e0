/** How the runs of a message of the log are repeated. */

/** Attempts, the first included, and the first and the longest pause between two, in ms. */
export interface Retry {
  readonly attempts: number;
  readonly delay: readonly [first: number, longest: number];
}

/** Unless the handler says otherwise. */
export const DEFAULT_RETRY: Retry = Object.freeze({ attempts: 10, delay: Object.freeze([1_000, 300_000] as const) });

/** Two handlers of one subscription and contract run for each message: the more patient settings hold. */
export function morePatient(one: Retry, other: Retry): Retry {
  return {
    attempts: Math.max(one.attempts, other.attempts),
    delay: one.delay[1] >= other.delay[1] ? one.delay : other.delay,
  };
}
