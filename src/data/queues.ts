/** Queues: by age, and by the time at which an entry is due; and those who wait for their turn. */

/**
 * A queue, first in, first out. The cost of an entry does not grow with their number, as it does in a `Map` that
 * churns.
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

  /** The entry with this index, from 0, the oldest; `undefined`: it has none. */
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
    this.#items[this.#first++] = undefined!; // what has gone is not kept
    // seldom, and not for each entry of a short one
    if (this.#first > MAX_GONE && 2 * this.#first > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  /** Removes all entries but these; the cost grows with the number of entries. */
  keep(which: (item: T) => boolean): void {
    this.#items = this.#items.slice(this.#first).filter(which);
    this.#first = 0;
  }
}

/** Entries that may have gone before the list is made anew. */
const MAX_GONE = 32;

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

/** Lets few of many in at a time, in the order in which they come: a thousand requests at once would all be late. */
export class Gate {
  /** Limits how many are inside from now on. */
  most: number;
  readonly #waiting = new Set<(leave: () => void) => void>();
  #inside = 0;
  #opening = false;

  constructor(most: number) {
    this.most = most;
  }

  /** True if one more has to wait. */
  get isFull(): boolean {
    return this.#inside + 1 > this.most;
  }

  /** Lets it in when its turn comes, at once if that is now: `go`, which must not throw, gets the way out. */
  pass(go: (leave: () => void) => void): void {
    this.#waiting.add(go);
    this.#open();
  }

  /**
   * Resolves with a function that is to be called when it has left. Rejects with the signal's reason when that aborts
   * before.
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

  /** Not within itself: of thousands that leave as they come, each would let in the next. */
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
 * Does something with each value, `most` at once: the next one begins when one is done, none when one has failed.
 * Resolves with the outcomes, in order.
 */
export async function fewAtOnce<T, R>(
  values: readonly T[],
  most: number,
  work: (value: T) => Promise<R> | R,
): Promise<R[]> {
  const outcomes: R[] = [];
  // all take from it, and a failure ends it
  const left = function* () {
    yield* values.entries();
  }();
  const some = async () => {
    for (const [i, value] of left) outcomes[i] = await work(value);
  };
  await Promise.all(Array.from({ length: Math.min(most, values.length) }, some));
  return outcomes;
}

/** The first of `count` indexes that is not before something, by binary search: those before it come first. */
export function firstIndex(count: number, isBefore: (index: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
