/** The open messages (read and not handled) of a leader, in the order in which they were added. */
import type { Item } from "./category.ts";

/** A list of items in the order in which they were added. Removed items are not kept in memory. */
export class OpenMessages implements Iterable<Item> {
  #items: (Item | undefined)[] = [];
  size = 0;
  /** Size of all messages of the list in the log, in bytes. */
  bytes = 0;

  add(item: Item): void {
    item.slot = this.#items.push(item) - 1;
    this.size++;
    this.bytes += item.size;
  }

  /** Removes an item. (With a `Set`, removing would take a tenth of all the work of a leader: measured.) */
  remove({ slot, size }: Item): void {
    const items = this.#items;
    items[slot] = undefined;
    this.size--;
    // an empty list has exactly 0 bytes; subtraction alone would leave rounding errors
    this.bytes = this.size === 0 ? 0 : this.bytes - size;
    if (2 * this.size + SLACK > items.length) return;
    this.#items = [];
    for (const item of items) if (item !== undefined) item.slot = this.#items.push(item) - 1;
  }

  /** The item that was added first; `undefined`: the list is empty. */
  get first(): Item | undefined {
    return this.size === 0 ? undefined : this.#items.find((item) => item !== undefined);
  }

  *[Symbol.iterator](): Iterator<Item> {
    for (const item of this.#items) if (item !== undefined) yield item;
  }
}

/** Number of empty slots, beyond the number of items, at which the array is compacted. */
const SLACK = 64;
