/** The parked messages of a subscription in its leader's memory, and the room for more of them. */
import type { Item } from "./category.ts";

/** Parked messages (in the store), dead letters included, in the order in which they were parked. */
export class ParkedMessages implements Iterable<Item> {
  /** Number of dead letters. */
  dead = 0;
  /**
   * Messages that every live version (shape) of their contract has refused, or that no live node handled when they were
   * parked: each waits for a node with another version.
   */
  readonly awaiting: Set<Item> = new Set();
  readonly #items = new Map<string, Item>();
  readonly #most: number;
  /**
   * Number of messages that wait for a node with another version (shape) of their contract, or for a node that handles
   * them, or behind such a message of their key.
   */
  #awaitingNode = 0;

  /** `most`: maximum number of parked messages, dead letters included; messages that wait for a node do not count. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Number of parked messages. */
  get size(): number {
    return this.#items.size;
  }

  has(id: string): boolean {
    return this.#items.has(id);
  }

  get(id: string): Item | undefined {
    return this.#items.get(id);
  }

  [Symbol.iterator](): Iterator<Item> {
    return this.#items.values();
  }

  add(item: Item): void {
    item.place = "parked";
    this.#items.set(item.id, item);
  }

  /** Removes a message that is handled or discarded. */
  remove(item: Item): void {
    if (item.dead > 0) this.dead--;
    this.setAwaits(item, false);
    this.#items.delete(item.id);
  }

  /**
   * Records whether a message waits for a node, also behind another message of its key. Removes the message from
   * {@link awaiting}; the caller adds it again if it waits for a node by itself.
   */
  setAwaits(item: Item, awaits: boolean): void {
    this.awaiting.delete(item);
    if (item.awaitsNode === awaits) return;
    item.awaitsNode = awaits;
    this.#awaitingNode += awaits ? 1 : -1;
  }

  /** Returns true if one more message can be parked. `awaits`: a message that waits for a node. */
  hasRoom({ awaits }: { readonly awaits: boolean }): boolean {
    return awaits ? this.#awaitingNode < AWAITING * this.#most : this.#counted < this.#most;
  }

  /** Number of messages that can still be parked, without those that wait for a node. */
  get room(): number {
    return Math.max(0, this.#most - this.#counted);
  }

  /** Number of parked messages that count for the limit. */
  get #counted(): number {
    return this.#items.size - this.#awaitingNode;
  }
}

/**
 * Maximum number of parked messages that wait for another version (shape) of their contract, or for a node that handles
 * them, as a multiple of the limit for the others. It is limited because each full commit lists all parked messages.
 */
const AWAITING = 4;
