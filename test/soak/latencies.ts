/**
 * How long millions of messages took.
 *
 * @module
 */

const STEP = 0.1; // ms
const LONGEST = 60_000; // ms

/** Counts of times, to a tenth of a ms; what is longer than a minute counts as a minute. */
export class Latencies {
  readonly #counts = new Uint32Array(LONGEST / STEP + 1);
  #count = 0;

  /** `took`: in ms. */
  add(took: number): void {
    this.#counts[Math.min(this.#counts.length - 1, Math.round(took / STEP))]++;
    this.#count++;
  }

  /** What at least so many percent of them do not exceed, in ms (nearest rank); `NaN` of none. */
  percentile(percent: number): number {
    const rank = Math.max(1, Math.ceil(this.#count * percent / 100));
    let seen = 0;
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i];
      if (seen >= rank) return i * STEP;
    }
    return NaN;
  }
}
