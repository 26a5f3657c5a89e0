/**
 * A wall clock that is wrong, in a process of its own: the machines of a cluster do not agree on the time. Everything
 * in the process that asks for the time is given the wrong one, but for {@link trueNow}, by which tests note what
 * happened.
 *
 * @module
 */

/** How wrong a wall clock is. */
export interface Skew {
  /** By how many ms it is ahead; less than 0 when it is behind. */
  readonly ahead?: number;
  /** By how many ms it gains in each ms: 0.01 is 36 s an hour. */
  readonly drift?: number;
}

const right = Date.now;

/** The time of this machine, in ms since 1970, whatever was done to the clock. */
export function trueNow(): number {
  return right();
}

/** Makes the wall clock of this process wrong, from now on. */
export function skewClock({ ahead = 0, drift = 0 }: Skew): void {
  const began = right();
  Date.now = () => Math.round(right() + ahead + (right() - began) * drift);
}

/** The skews that the nodes of a cluster have, in turn: none, an hour ahead, an hour behind, a clock that gains. */
export const SKEWS: readonly Skew[] = [{}, { ahead: 3_600_000 }, { ahead: -3_600_000 }, { drift: 0.001 }];
