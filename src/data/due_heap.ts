/** A queue of values by due time. */

/**
 * A heap of values, each with a time; it returns the value with the earliest time.
 * @decides the data structure from which values leave in the order of their due times
 */
export class DueHeap<T> {
  readonly #times: number[] = [];
  readonly #values: T[] = [];

  get size(): number {
    return this.#times.length;
  }

  /** Time of the value with the earliest time; `undefined`: the heap is empty. */
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

  /** Removes and returns the value with the earliest time. */
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
    this.#set(at, time, value!); // not undefined: a value was popped with the time
    return first;
  }

  #set(at: number, time: number, value: T): void {
    this.#times[at] = time;
    this.#values[at] = value;
  }
}
