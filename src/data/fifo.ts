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

  /** The number of entries. */
  get size(): number {
    return this.#items.length - this.#first;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Removes and returns the oldest entry. */
  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#first++];
    if (2 * this.#first > this.#items.length) {
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
