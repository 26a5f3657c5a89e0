/**
 * A queue whose next message is the one of the lowest rank; of the same rank, the one that came first. A message that
 * takes the place of another one in it gets that one's rank.
 */
import { DueHeap } from "../../data/due_heap.ts";
import { Fifo } from "../../data/fifo.ts";

/** A message that waits in a {@link RankedLine}. */
export interface RankedMessage {
  /** Place in the line: the time at which the message was stored, or the one whose place it has taken, in ms. */
  readonly rank: number;
}

/** A queue of messages by rank. */
export class RankedLine<T extends RankedMessage> {
  #ranks = new DueHeap<Fifo<T>>();
  readonly #byRank = new Map<number, Fifo<T>>();
  /** Number of messages. */
  size = 0;

  push(item: T): void {
    this.size++;
    const known = this.#byRank.get(item.rank);
    if (known !== undefined) return known.push(item);
    const own = new Fifo<T>();
    own.push(item);
    this.#byRank.set(item.rank, own);
    this.#ranks.push(item.rank, own);
  }

  /** Removes and returns the message of the lowest rank. */
  shift(): T | undefined {
    const { first: rank } = this.#ranks;
    const own = rank === undefined ? undefined : this.#byRank.get(rank);
    if (rank === undefined || own === undefined) return undefined;
    this.size--;
    const item = own.shift();
    if (own.size === 0) {
      this.#ranks.pop();
      this.#byRank.delete(rank);
    }
    return item;
  }

  /** Removes all messages for which `which` returns false. Its cost grows with the number of messages. */
  keep(which: (item: T) => boolean): void {
    this.#ranks = new DueHeap();
    this.size = 0;
    for (const [rank, own] of this.#byRank) {
      own.keep(which);
      this.size += own.size;
      if (own.size > 0) this.#ranks.push(rank, own);
      else this.#byRank.delete(rank);
    }
  }
}
