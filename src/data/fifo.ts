/** A queue, first in, first out. */

/**
 * A queue whose oldest entry leaves first. The cost of an entry does not grow with the number of entries, as it does in
 * a `Map` whose entries come and go.
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
