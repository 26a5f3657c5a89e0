/** Binary heap of what is due, the earliest first. */

/** A heap of values by their times. */
export class DueHeap<T> {
  readonly #times: number[] = [];
  readonly #values: T[] = [];

  get size(): number {
    return this.#times.length;
  }

  /** The time of the earliest one; `undefined` if there is none. */
  get first(): number | undefined {
    return this.#times[0];
  }

  push(time: number, value: T): void {
    let at = this.#times.length;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (this.#times[parent] <= time) break;
      this.#set(at, this.#times[parent], this.#values[parent]);
      at = parent;
    }
    this.#set(at, time, value);
  }

  /** Removes and returns the earliest one. */
  pop(): T | undefined {
    const first = this.#values[0];
    const [time, value] = [this.#times.pop(), this.#values.pop()];
    const size = this.#times.length;
    if (time === undefined || size === 0) return first;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && this.#times[child + 1] < this.#times[child]) child++;
      if (this.#times[child] >= time) break;
      this.#set(at, this.#times[child], this.#values[child]);
      at = child;
    }
    this.#set(at, time, value!); // not empty: a time was popped with it
    return first;
  }

  #set(at: number, time: number, value: T): void {
    this.#times[at] = time;
    this.#values[at] = value;
  }
}
