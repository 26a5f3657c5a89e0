/** First in, first out, at a cost that does not grow with how many there are, as that of a `Map` of what churns does. */
export class Fifo<T> {
  #items: T[] = [];
  #first = 0;

  /** The one that came first. */
  get first(): T | undefined {
    return this.#items[this.#first];
  }

  /** How many there are. */
  get size(): number {
    return this.#items.length - this.#first;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Takes the one that came first. */
  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#first++];
    if (2 * this.#first > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  /** Takes out all but these; costs as much as there are. */
  keep(which: (item: T) => boolean): void {
    this.#items = this.#items.slice(this.#first).filter(which);
    this.#first = 0;
  }
}
