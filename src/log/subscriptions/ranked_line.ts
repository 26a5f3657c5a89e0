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

/** A line of messages that wait: in the order in which they came, or by rank. */
export type WaitingLine<T extends RankedMessage> = Fifo<T> | RankedLine<T>;

/**
 * Returns true if so many of the messages in lines have left that the lines are to be made anew: where only the newest
 * message of a key waits, many may leave before the next one is taken out. `present`: number of those that have not.
 */
export function hasManyGone(listed: number, present: number): boolean {
  return listed > 2 * present + FEW_GONE;
}

/** Removes from lines what has left, and what stands there a second time. `isPresent`: returns true if one has not. */
export function forgetGone<T extends RankedMessage>(
  lines: Iterable<WaitingLine<T>>,
  isPresent: (item: T) => boolean,
): void {
  const kept = new Set<T>();
  for (const line of lines) line.keep((item) => isPresent(item) && kept.size < kept.add(item).size);
}

/** Number of messages that have left above which lines are made anew. */
const FEW_GONE = 64;

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
