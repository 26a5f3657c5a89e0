/**
 * The messages of a subscription that may run, in order. Large parked messages are loaded from the store to run; most
 * of them wait here while those that run fill the memory that they may take.
 */
import { Fifo } from "../../data/fifo.ts";
import type { Item } from "./category.ts";

/** The messages that may run as soon as a live node handles their category. */
export class ReadyMessages {
  readonly #messages = new Fifo<Item>();
  /** Messages that may run as soon as large parked messages that run leave memory for them. Each has to be loaded. */
  readonly #unloaded = new Fifo<Item>();
  /** Large parked messages that were loaded from the store to run, each with its size in bytes. */
  readonly #loaded = new Map<Item, number>();
  #bytes = 0;

  push(item: Item): void {
    this.#messages.push(item);
  }

  /**
   * Removes and returns the next message that is ready to run. Large parked messages are loaded to run: thousands that
   * are due at once, as after an outage, would not fit into memory, so that most of them wait here.
   */
  next(): Item | undefined {
    const isFree = this.#bytes < MAX_BYTES_IN_MEMORY;
    if (isFree && this.#unloaded.size > 0) return this.#unloaded.shift();
    let item = this.#messages.shift();
    for (; item !== undefined && !item.loaded && !isFree; item = this.#messages.shift()) this.#unloaded.push(item);
    return item;
  }

  /** Records that a message is being handed out: a large parked message is loaded into memory for that. */
  begun(item: Item): void {
    if (item.loaded || this.#loaded.has(item)) return;
    this.#loaded.set(item, item.size);
    this.#bytes += item.size;
  }

  /** Records that the payload of a large parked message is in memory no longer, or will not be in a moment. */
  leavesMemory(item: Item): void {
    this.#bytes -= this.#loaded.get(item) ?? 0;
    this.#loaded.delete(item);
  }
}

/**
 * Size of the large parked messages in memory from which on others wait in the store until one of them has an outcome,
 * in bytes: as much as open messages may have.
 */
const MAX_BYTES_IN_MEMORY = 33_554_432;
