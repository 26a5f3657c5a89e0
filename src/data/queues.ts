/** Queues: first in, first out; ordered by due time; and a gate that limits how many operations run at once. */

/**
 * A queue, first in, first out. The cost of an entry does not grow with the number of entries, as it does in a `Map`
 * whose entries come and go.
 */
export class Fifo<T> {
  #items: T[] = [];
  #first = 0;

  /** The oldest entry. */
  get first(): T | undefined {
    return this.#items[this.#first];
  }

  /** The newest entry. */
  get last(): T | undefined {
    return this.at(this.size - 1);
  }

  /** The number of entries. */
  get size(): number {
    return this.#items.length - this.#first;
  }

  /** Returns the entry with this index (0: the oldest); `undefined`: there is none. */
  at(index: number): T | undefined {
    return index < 0 ? undefined : this.#items[this.#first + index];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Removes and returns the oldest entry. */
  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#first];
    this.#items[this.#first++] = undefined!; // overwritten, so that a removed entry is not kept in memory
    // the array is made anew rarely, and not at each removal from a short queue
    if (this.#first > MAX_GONE && 2 * this.#first > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  /** Removes all entries for which `which` returns false. Its cost grows with the number of entries. */
  keep(which: (item: T) => boolean): void {
    this.#items = this.#items.slice(this.#first).filter(which);
    this.#first = 0;
  }
}

/** Number of removed entries before the array of a queue is made anew. */
const MAX_GONE = 32;

/** A heap of values, each with a time; it returns the value with the earliest time. */
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

/**
 * Limits how many operations run at once, because with a thousand requests at once all would be late. Further
 * operations wait, in the order of their arrival.
 */
export class Gate {
  /** Maximum number of operations that run at once, from now on. */
  most: number;
  readonly #waiting = new Set<(leave: () => void) => void>();
  #inside = 0;
  #opening = false;

  constructor(most: number) {
    this.most = most;
  }

  /** True if another operation would have to wait. */
  get isFull(): boolean {
    return this.#inside + 1 > this.most;
  }

  /**
   * Calls `go` when the operation may run, perhaps at once. `go` must not throw; it gets a function to call when the
   * operation is done.
   */
  pass(go: (leave: () => void) => void): void {
    this.#waiting.add(go);
    this.#open();
  }

  /**
   * Resolves when the operation may run, with a function to call when the operation is done. Rejects with the signal's
   * reason if the signal aborts before.
   */
  enter(signal?: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const go = (leave: () => void) => {
        signal?.removeEventListener("abort", abort);
        resolve(leave);
      };
      const abort = () => {
        this.#waiting.delete(go);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.pass(go);
    });
  }

  /**
   * Starts waiting operations in a loop, not by recursion: of thousands of operations that end at once, each would
   * start the next one.
   */
  #open(): void {
    if (this.#opening) return;
    this.#opening = true;
    for (const go of this.#waiting) {
      if (this.isFull) break;
      this.#waiting.delete(go);
      this.#inside++;
      go(() => {
        this.#inside--;
        this.#open();
      });
    }
    this.#opening = false;
  }
}

/**
 * Calls `work` for each value, at most `most` at once: the next call begins when one has succeeded; after a failure
 * none begins. Resolves with the results, in the order of the values.
 */
export async function fewAtOnce<T, R>(
  values: readonly T[],
  most: number,
  work: (value: T) => Promise<R> | R,
): Promise<R[]> {
  const outcomes: R[] = [];
  // all workers take their values from this generator; a failure ends it
  const left = function* () {
    yield* values.entries();
  }();
  const some = async () => {
    for (const [i, value] of left) outcomes[i] = await work(value);
  };
  await Promise.all(Array.from({ length: Math.min(most, values.length) }, some));
  return outcomes;
}

/**
 * Returns the first of `count` indexes for which `isBefore` is false, by binary search: all indexes for which it is
 * true come first.
 */
export function firstIndex(count: number, isBefore: (index: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
