/** The messages that a leader has read and that are neither done nor parked, in the order of their positions. */
import { type OpenEntry, RUNNING, SPARED } from "../format/open_positions.ts";
import { endOf, sequenceOf } from "../format/position.ts";
import type { OpenItem } from "./category.ts";

/** A list from which any item is removed at the same small cost, so that one slow message does not keep those behind it in memory. */
export class OpenItems {
  #first: OpenItem | undefined;
  #last: OpenItem | undefined;
  #size = 0;
  #bytes = 0;

  get size(): number {
    return this.#size;
  }

  /** What they take in the log, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The one with the lowest position. */
  get first(): OpenItem | undefined {
    return this.#first;
  }

  /** Adds one; nearly always its position is the greatest. */
  push(item: OpenItem): void {
    const { position } = item.message;
    let before = this.#last;
    while (before !== undefined && before.message.position > position) before = before.previous;
    const after = before === undefined ? this.#first : before.next;
    item.listed = true;
    item.previous = before;
    item.next = after;
    if (before === undefined) this.#first = item;
    else before.next = item;
    if (after === undefined) this.#last = item;
    else after.previous = item;
    this.#size++;
    this.#bytes += item.size;
  }

  remove(item: OpenItem): void {
    if (!item.listed) return;
    const { previous, next } = item;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    item.listed = false;
    item.previous = item.next = undefined;
    this.#size--;
    this.#bytes = this.#size === 0 ? 0 : this.#bytes - item.size; // fractions add up
  }

  /**
   * What a record says: positions up to `read` are done but for those in `open`. When more than `most` are open, `read` is the end of
   * an earlier message of the stream, and what is done behind it is forgotten: a successor repeats it. `time`: that of the message at
   * `read`; `undefined` for the one given.
   */
  upTo(
    read: number,
    most: number,
  ): { read: number; time: number | undefined; open: OpenEntry[] } {
    const open: OpenEntry[] = [];
    for (let item = this.#first; item !== undefined; item = item.next) {
      const { position } = item.message;
      if (position > read) continue;
      if (open.length >= most) {
        const [last] = open[open.length - 1];
        const before = item.previous?.message.time;
        if (sequenceOf(position) > sequenceOf(last)) return { read: endOf(sequenceOf(last)), time: before, open };
      }
      open.push([position, item.attempts, (item.running ? RUNNING : 0) + (item.spared ? SPARED : 0)]);
    }
    return { read, time: undefined, open };
  }
}
