/**
 * What becomes of a number of rounds: a median, and how far the rounds lie apart.
 *
 * @module
 */

/** One figure: the value of each round, in the order of the rounds. */
export type Rounds = readonly number[];

/** The value in the middle; of an even number of values, the mean of the two. `NaN` of none. */
export function median(values: Rounds): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The value that `part` (0 to 1) of the values are not above, for example 0.99. `NaN` of none. */
export function quantile(values: Rounds, part: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)];
}

/** Of two figures that were taken in the same rounds: how many times the other one each round's value is. */
export function ratios(values: Rounds, others: Rounds): Rounds {
  return values.slice(0, others.length).map((value, round) => value / others[round]);
}

/** Half of the distance between the lowest and the highest round, as a part of the median; 0: all are alike. */
export function spread(values: Rounds): number {
  const distance = Math.max(...values) - Math.min(...values);
  return distance === 0 ? 0 : distance / 2 / median(values);
}
