/** A count that stops at a limit, where counting on costs more than the answer is worth. It is never taken for less. */

/** A count that stops at a limit, and is remembered for as long as what was counted does not change. */
export class BoundedCount {
  #count = 0;
  /** The limit at which the counting stopped, and the version of what was counted. */
  #most = 0;
  #version = -1;

  /** Returns true if there are fewer than `most`. `count`: counts anew, `most` at least if there are so many. */
  isBelow(most: number, version: number, count: () => number): boolean {
    // a count that has reached its limit is only a lower bound
    const isExact = this.#count < this.#most;
    if (version !== this.#version || (!isExact && most > this.#count)) {
      [this.#count, this.#most, this.#version] = [count(), most, version];
    }
    return this.#count < most;
  }
}
