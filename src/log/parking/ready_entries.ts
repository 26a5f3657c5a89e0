/** Entries that are to be handed out next. Large ones are read from the store for that, some ahead. */
import { Fifo } from "../../data/fifo.ts";
import type { ParkedEntry } from "../format/parked_entry.ts";
import type { Lines } from "./lines.ts";
import type { ParkedItem } from "./parked_item.ts";

/** What {@link ReadyEntries} are made of. */
export interface ReadySource {
  readonly lines: Lines;
  /** Reads what is stored of a message; `undefined`: it is gone. */
  read(item: ParkedItem): Promise<ParkedEntry | undefined>;
  /** Called when {@link ReadyEntries.next} returns an entry again. */
  onReady(): void;
  /** Gets what reading rejects with. */
  fault(error: unknown): void;
}

/** The entries of one leader. */
export class ReadyEntries {
  readonly #source: ReadySource;
  readonly #ready = new Fifo<ParkedItem>();
  #reading = 0;
  #open = false;

  constructor(source: ReadySource) {
    this.#source = source;
  }

  /** From now on entries are handed out. */
  open(): void {
    this.#open = true;
    this.refresh();
  }

  /** To be called when messages have become due. */
  refresh(): void {
    if (this.#fill()) this.#source.onReady();
  }

  /** The next entry; its item is in hand then. */
  next(): ParkedEntry | undefined {
    for (let item = this.#ready.shift(); item !== undefined; item = this.#ready.shift()) {
      this.#fill();
      // it may have been removed, or have become another's turn
      if (item.stage !== "due" || item.entry === undefined) continue;
      item.stage = "hand";
      return item.entry;
    }
    return undefined;
  }

  /** Returns whether there are more than before. */
  #fill(): boolean {
    let more = false;
    while (this.#open && this.#ready.size + this.#reading < AHEAD) {
      const item = this.#source.lines.shift();
      if (item === undefined) break;
      if (item.entry !== undefined) {
        this.#ready.push(item);
        more = true;
      } else void this.#read(item);
    }
    return more;
  }

  async #read(item: ParkedItem): Promise<void> {
    this.#reading++;
    try {
      item.entry = await this.#source.read(item);
      if (item.entry !== undefined) this.#ready.push(item);
    } catch (error) {
      this.#source.fault(error);
    } finally {
      this.#reading--;
    }
    this.#fill();
    if (this.#ready.size > 0) this.#source.onReady();
  }
}

/** Entries that are ready, or being read. */
const AHEAD = 16;
