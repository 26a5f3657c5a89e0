/**
 * Flow control (backpressure): brings the items of one stream from its handler to its reader in another process, over
 * frames that may be lost, by two state machines without time. Items are numbered. The sender keeps each item until the
 * reader has consumed it, and never has more than a window of unconsumed items (`WINDOW` in
 * `contract/declaration/defaults.ts`). The receiver accepts only the item with the next number, and asks for missing
 * items. Neither machine has timers: the code that carries the frames calls {@link ItemReceiver.doubt} when frames of
 * either direction were lost.
 */
import type { Window } from "../contract/declaration/definition.ts";
import { Fifo } from "../data/fifo.ts";
import { exceeds } from "../data/utf8.ts";
import type { ItemLine, ItemSource, ItemWriter, LineSender } from "../dispatch/item_ports.ts";

/**
 * The handler's end of a stream's flow control: keeps items until the reader has consumed them.
 * @decides how far the handler may be ahead of the reader
 */
export class ItemSender implements LineSender {
  readonly #window: Window;
  readonly #line: Pick<ItemLine, "gather">;
  /** The items from number `#first` on; items before `#consumed` can be removed: the reader has consumed them. */
  #items: string[] = [];
  #strings = true;
  #first = 0;
  #next = 0;
  /** Number of the first item that was not written to the network yet. */
  #unwritten = 0;
  #received = 0;
  #consumed = 0;
  /** Total length of the items that the reader has not consumed, in characters. */
  #bytes = 0;
  /**
   * Number of consumed items at which the reader is to report next, that is, to send the number of items it has
   * consumed.
   */
  #asked = 0;
  /** Total length of the items sent since the sender last asked the reader for a report, in characters. */
  #bytesSince = 0;
  /**
   * The message that ends the stream: `none` while more items may follow, `due` if it is to be written to the network,
   * perhaps again, `written`.
   */
  #end: "none" | "due" | "written" = "none";
  /** True if the sender's request for a report of consumed items is to be written with the next items. */
  #asks = false;

  constructor(window: Window, line: Pick<ItemLine, "gather">) {
    this.#window = window;
    this.#line = line;
  }

  /** True if the sender may send another item: the reader has consumed enough of the earlier ones. */
  get room(): boolean {
    return this.#next - this.#consumed < this.#window.items && this.#bytes < this.#window.bytes;
  }

  /** True if the stream has ended, and the reader has received all of its items. */
  get delivered(): boolean {
    return this.#end !== "none" && this.#received === this.#next;
  }

  /**
   * True if all items so far are strings. Strings are encoded together at the end of a turn of the event loop, which
   * takes a third of the time (measured). Other items are encoded at once, because the handler may change them later.
   */
  get strings(): boolean {
    return this.#strings;
  }

  /** Sends an item that is given as encoded text. */
  text(text: string): void {
    if (this.#strings) {
      this.#strings = false;
      this.#items = this.#items.map((item) => JSON.stringify(item));
      this.#bytes = this.#items.slice(this.#consumed - this.#first).join("").length;
    }
    this.send(text);
  }

  /** Sends an item: the string itself while {@link ItemSender.strings} is true, otherwise its encoded text. */
  send(item: string): void {
    this.#items.push(item);
    this.#bytes += item.length;
    this.#bytesSince += item.length;
    this.#next++;
    const { items, bytes } = this.#window;
    if (2 * (this.#next - this.#asked) >= items || 2 * this.#bytesSince >= bytes) this.#ask();
    this.#line.gather();
  }

  /** Ends the stream: no more items follow. */
  end(): void {
    this.#end = "due";
    this.#line.gather();
  }

  onProgress(consumed: number, received: number, again: boolean): void {
    // the reader's report is ignored if its numbers are wrong, or if it is for an earlier stream
    if (consumed > received || received > this.#next) return;
    this.#received = Math.max(this.#received, received);
    while (this.#consumed < consumed) this.#bytes -= this.#items[this.#consumed++ - this.#first].length;
    if (2 * (this.#consumed - this.#first) > this.#items.length) {
      this.#items = this.#items.slice(this.#consumed - this.#first);
      this.#first = this.#consumed;
    }
    this.#unwritten = again ? this.#received : Math.max(this.#unwritten, this.#received);
    if (!again) return;
    if (this.#next > this.#consumed) this.#ask();
    if (this.#end === "written") this.#end = "due";
    this.#line.gather();
  }

  /** Returns true if an item that is still to be written, perhaps again, has more than `limit` bytes as JSON. */
  exceeds(limit: number): boolean {
    const items = this.#items.slice(this.#unwritten - this.#first);
    return items.some((item) => exceeds(this.#strings ? JSON.stringify(item) : item, limit));
  }

  write(out: ItemWriter): void {
    if (this.#unwritten < this.#next) {
      out.items(this.#unwritten, this.#items, this.#unwritten - this.#first, this.#strings);
    }
    this.#unwritten = this.#next;
    if (this.#asks) out.ask(this.#asked);
    this.#asks = false;
    if (this.#end !== "due") return;
    out.end(this.#next);
    this.#end = "written";
  }

  #ask(): void {
    this.#asked = this.#next;
    this.#bytesSince = 0;
    this.#asks = true;
  }
}

/** The reader's end of a stream's flow control: receives items in order. */
export class ItemReceiver {
  /** Maximum number of received items that wait to be consumed; a sender that keeps to the window never exceeds it. */
  readonly #most: number;
  readonly #items: Fifo<unknown> = new Fifo();
  #received = 0;
  #consumed = 0;
  /** Number of consumed items at which the sender wants a report of consumed items. */
  #report = Infinity;
  /** Total number of items of the stream; Infinity: not known yet. */
  #count = Infinity;
  /** Number of the first missing item when missing items were last requested: each gap is requested once. */
  #missed = -1;
  /** True if items were rejected because there was no room for them. */
  #refused = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** Number of received items that wait to be consumed. */
  get size(): number {
    return this.#items.size;
  }

  /** Number of items that were received. */
  get received(): number {
    return this.#received;
  }

  /** Receives the items of `list` from index `first` on; the first of them has the number `n`. */
  items(source: ItemSource, n: number, list: readonly unknown[], first: number): void {
    if (n > this.#received) return this.#miss(source);
    for (let i = first + this.#received - n; i < list.length; i++) {
      // there is no room for the item: the sender sends wrong data, or its contract has a larger window
      if (this.#items.size >= this.#most) return void (this.#refused = true);
      this.#items.push(list[i]);
      this.#received++;
    }
  }

  /** Receives an item from a handler in this process. */
  push(item: unknown): void {
    this.#items.push(item);
    this.#received++;
  }

  /** Reports the number of consumed items to the sender once `n` items are consumed; at once if they are already. */
  report(source: ItemSource, n: number): void {
    if (n <= this.#consumed) this.#reportTo(source, { again: false });
    else this.#report = n;
  }

  /** Notes that the stream has ended, and has `n` items in all; asks for the missing ones. */
  end(source: ItemSource, n: number): void {
    this.#count = n;
    if (this.#received < n) this.#miss(source);
    else this.#reportTo(source, { again: false });
  }

  /** Returns the oldest received item, which then counts as consumed; there must be one. */
  take(source: ItemSource | undefined): unknown {
    const item = this.#items.shift();
    if (++this.#consumed >= this.#report) {
      this.#report = Infinity;
      if (source !== undefined) this.#reportTo(source, { again: false });
    }
    if (this.#refused && 2 * this.#items.size <= this.#most && source !== undefined) {
      this.#refused = false;
      this.doubt(source);
    }
    return item;
  }

  /**
   * Reports to the sender which items were received, and asks for missing items. Called when frames of either direction
   * may be lost.
   */
  doubt(source: ItemSource): void {
    this.#reportTo(source, { again: true });
  }

  /** Returns true if all `n` items of the stream were received, unless the sender reported another total. */
  complete(n: number): boolean {
    return this.#received === n && (this.#count === n || this.#count === Infinity);
  }

  /** `again`: asks for the items after the received ones, too, because they may have been lost on the way. */
  #reportTo(source: ItemSource, { again }: { readonly again: boolean }): void {
    source.reportProgress(this.#consumed, this.#received, again);
  }

  #miss(source: ItemSource): void {
    if (this.#missed === this.#received || this.#refused) return;
    this.#missed = this.#received;
    this.doubt(source);
  }
}

/** Lets one caller wait until it is woken. */
export class SingleWait {
  #resolve: (() => void) | undefined;

  /** True if a caller waits. */
  get some(): boolean {
    return this.#resolve !== undefined;
  }

  wait(): Promise<void> {
    return new Promise((resolve) => this.#resolve = resolve);
  }

  wake(): void {
    const resolve = this.#resolve;
    this.#resolve = undefined;
    resolve?.();
  }
}
