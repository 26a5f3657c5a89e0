/**
 * Flow control (backpressure): how the items of one stream get from its handler to its reader in another process, over
 * frames that may be lost: two state machines without time. Items are numbered. The sender keeps each until the reader
 * has consumed it, and is at most a window ahead (`WINDOW` in `contract/defaults.ts`). The receiver takes the next
 * number alone, and asks for those that it lacks. Neither has timers: whoever carries the frames calls
 * {@link ItemReceiver.doubt} when frames of either direction were lost.
 */
import type { Window } from "../contract/stream.ts";
import { Fifo } from "../data/queues.ts";
import type { ItemLine, ItemSource, ItemWriter, LineSender } from "../dispatch/item_ports.ts";

/** The handler's side. */
export class ItemSender implements LineSender {
  readonly #window: Window;
  readonly #line: Pick<ItemLine, "gather">;
  /** The items from `#first` on; those before `#consumed` may be forgotten. */
  #items: string[] = [];
  #strings = true;
  #first = 0;
  #next = 0;
  /** Those from here on are to be written. */
  #unwritten = 0;
  #received = 0;
  #consumed = 0;
  /** The length of those that were not consumed. */
  #bytes = 0;
  /** The reader is asked to report when it has consumed so many; and the length of those sent since. */
  #asked = 0;
  #bytesSince = 0;
  #ended = false;
  /** To be written: what it asks, and its end. */
  #asks = false;
  #ends = false;

  constructor(window: Window, line: Pick<ItemLine, "gather">) {
    this.#window = window;
    this.#line = line;
  }

  /** Whether the reader has room for another item. */
  get room(): boolean {
    return this.#next - this.#consumed < this.#window.items && this.#bytes < this.#window.bytes;
  }

  /** Whether the stream has ended, and the reader has all of its items. */
  get delivered(): boolean {
    return this.#ended && this.#received === this.#next;
  }

  /**
   * Whether all items so far are strings. Those are encoded together when a turn ends, which takes a third of the time
   * (measured); what else a handler makes it may change until then.
   */
  get strings(): boolean {
    return this.#strings;
  }

  /** Sends an item as text. */
  text(text: string): void {
    if (this.#strings) {
      this.#strings = false;
      this.#items = this.#items.map((item) => JSON.stringify(item));
      this.#bytes = this.#items.slice(this.#consumed - this.#first).join("").length;
    }
    this.send(text);
  }

  /** Sends an item: a string, while there are only {@link ItemSender.strings}. */
  send(item: string): void {
    this.#items.push(item);
    this.#bytes += item.length;
    this.#bytesSince += item.length;
    this.#next++;
    const { items, bytes } = this.#window;
    if (2 * (this.#next - this.#asked) >= items || 2 * this.#bytesSince >= bytes) this.#ask();
    this.#line.gather();
  }

  /** There are no more items. */
  end(): void {
    this.#ended = this.#ends = true;
    this.#line.gather();
  }

  word(consumed: number, received: number, again: boolean): void {
    // of a process that lies, or of a stream before this one
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
    this.#ends = this.#ended;
    this.#line.gather();
  }

  write(out: ItemWriter): void {
    if (this.#unwritten < this.#next) {
      out.items(this.#unwritten, this.#items, this.#unwritten - this.#first, this.#strings);
    }
    this.#unwritten = this.#next;
    if (this.#asks) out.ask(this.#asked);
    if (this.#ends) out.end(this.#next);
    this.#asks = this.#ends = false;
  }

  #ask(): void {
    this.#asked = this.#next;
    this.#bytesSince = 0;
    this.#asks = true;
  }
}

/** The reader's side. */
export class ItemReceiver {
  /** How many items wait to be consumed at most: a sender that heeds the window sends no more. */
  readonly #most: number;
  readonly #items: Fifo<unknown> = new Fifo();
  #received = 0;
  #consumed = 0;
  /** The sender is to be told when so many are consumed. */
  #report = Infinity;
  /** How many items there are in all, when that is known. */
  #count = Infinity;
  /** Where items were missed last: they are asked for once. */
  #missed = -1;
  /** Items came that there was no room for. */
  #refused = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** How many wait to be consumed. */
  get size(): number {
    return this.#items.size;
  }

  /** How many have come. */
  get received(): number {
    return this.#received;
  }

  /** Items from number `n` on: those of `list` from `first` on. */
  items(source: ItemSource, n: number, list: readonly unknown[], first: number): void {
    if (n > this.#received) return this.#miss(source);
    for (let i = first + this.#received - n; i < list.length; i++) {
      // of a process that lies, or whose contract has a larger window
      if (this.#items.size >= this.#most) return void (this.#refused = true);
      this.#items.push(list[i]);
      this.#received++;
    }
  }

  /** An item of a handler in this process. */
  push(item: unknown): void {
    this.#items.push(item);
    this.#received++;
  }

  /** The sender wants to know when `n` items are consumed. */
  report(source: ItemSource, n: number): void {
    if (n <= this.#consumed) source.word(this.#consumed, this.#received, false);
    else this.#report = n;
  }

  /** The stream has `n` items in all. */
  end(source: ItemSource, n: number): void {
    this.#count = n;
    if (this.#received < n) this.#miss(source);
    else source.word(this.#consumed, this.#received, false);
  }

  /** The oldest item; there is one. */
  take(source: ItemSource | undefined): unknown {
    const item = this.#items.shift();
    if (++this.#consumed >= this.#report) {
      this.#report = Infinity;
      source?.word(this.#consumed, this.#received, false);
    }
    if (this.#refused && 2 * this.#items.size <= this.#most && source !== undefined) {
      this.#refused = false;
      this.doubt(source);
    }
    return item;
  }

  /** Frames were lost, in either direction: says where it stands, and asks for what it lacks. */
  doubt(source: ItemSource): void {
    source.word(this.#consumed, this.#received, true);
  }

  /** Whether all of `n` items have come, and the sender said that there are no more. */
  complete(n: number): boolean {
    return this.#received === n && (this.#count === n || this.#count === Infinity);
  }

  #miss(source: ItemSource): void {
    if (this.#missed === this.#received || this.#refused) return;
    this.#missed = this.#received;
    this.doubt(source);
  }
}

/** A wait for something that comes, of one caller at a time. */
export class SingleWait {
  #resolve: (() => void) | undefined;

  /** Whether somebody waits. */
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
