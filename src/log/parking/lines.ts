/** Which parked messages may be tried: of each key the first one, when it is due. One timer for all of them. */
import { Fifo } from "../../data/fifo.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import { DueHeap } from "./due_heap.ts";
import type { Line, ParkedItem } from "./parked_item.ts";

/** The order of a subscription's parked messages. */
export class Lines {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  readonly #byKey = new Map<string, Line>();
  readonly #byPosition = new Map<number, ParkedItem>();
  readonly #heap = new DueHeap<ParkedItem>();
  readonly #due = new Fifo<ParkedItem>();
  #timer: { readonly at: number; readonly timer: Timer } | undefined;
  #dead = 0;

  /** `onDue`: called when {@link Lines.shift} returns one again. */
  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#byPosition.size;
  }

  get dead(): number {
    return this.#dead;
  }

  /** In the order in which they were added. */
  get items(): Iterable<ParkedItem> {
    return this.#byPosition.values();
  }

  /** The time of the oldest message that is not a dead letter. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { dead, time } of this.items) {
      if (!dead && (oldest === undefined || time < oldest)) oldest = time;
    }
    return oldest;
  }

  get(position: number): ParkedItem | undefined {
    return this.#byPosition.get(position);
  }

  holds(category: string, key: string): boolean {
    // asked for each message: mostly nothing is parked
    return this.#byKey.size > 0 && this.#byKey.has(lineId(category, key));
  }

  /** Adds a message, in the stage `writing`. */
  add(
    { position, category, key, time }: { position: number; category: string; key: string | undefined; time: number },
  ): ParkedItem {
    const id = key === undefined ? undefined : lineId(category, key);
    let line = id === undefined ? undefined : this.#byKey.get(id);
    if (line === undefined) line = { id, items: [] };
    if (id !== undefined) this.#byKey.set(id, line);
    const item: ParkedItem = {
      position,
      line,
      time,
      stage: "writing",
      revision: 0,
      due: 0,
      dead: false,
      entry: undefined,
    };
    let at = line.items.length;
    while (at > 0 && line.items[at - 1].position > position) at--;
    line.items.splice(at, 0, item);
    this.#byPosition.set(position, item);
    // the one that was first until now is tried after it
    const next = line.items[at + 1];
    if (at === 0 && (next?.stage === "waiting" || next?.stage === "due")) next.stage = "behind";
    return item;
  }

  /** Ends the stage `writing`: it waits for its turn, or is a dead letter. */
  settle(item: ParkedItem, { dead, due }: { dead: boolean; due: number }): void {
    if (dead !== item.dead) this.#dead += dead ? 1 : -1;
    item.dead = dead;
    item.due = due;
    item.stage = dead ? "dead" : "behind";
    this.#advance(item.line);
  }

  remove(item: ParkedItem): void {
    if (this.#byPosition.get(item.position) !== item) return;
    if (item.dead) this.#dead--;
    this.#byPosition.delete(item.position);
    const { line } = item;
    line.items.splice(line.items.indexOf(item), 1);
    item.stage = "writing"; // wherever it is queued, it is passed over
    if (line.items.length === 0 && line.id !== undefined) this.#byKey.delete(line.id);
    else this.#advance(line);
  }

  /** The one that has been due for longest, in the order in which they became due. */
  shift(): ParkedItem | undefined {
    for (let item = this.#due.shift(); item !== undefined; item = this.#due.shift()) {
      if (item.stage === "due") return item;
    }
    return undefined;
  }

  close(): void {
    this.#timer?.timer.cancel();
    this.#timer = undefined;
  }

  #advance({ items }: Line): void {
    if (items.length === 0 || items[0].stage !== "behind") return;
    if (items.length > 1 && items.some(({ stage }) => stage === "hand")) return;
    const [first] = items;
    first.stage = "waiting";
    if (first.due > this.#clock.monotonic()) {
      this.#heap.push(first.due, first);
      this.#setTimer();
    } else this.#runnable(first);
  }

  #runnable(item: ParkedItem): void {
    item.stage = "due";
    this.#due.push(item);
    this.#onDue();
  }

  #setTimer(): void {
    const { first } = this.#heap;
    if (first === undefined || (this.#timer !== undefined && this.#timer.at <= first)) return;
    this.#timer?.timer.cancel();
    const wait = Math.max(0, first - this.#clock.monotonic());
    this.#timer = { at: first, timer: this.#clock.after(wait, () => this.#fire(), { background: true }) };
  }

  #fire(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    // timers may fire a fraction of a ms early
    for (let { first } = this.#heap; first !== undefined && first <= now + 1; { first } = this.#heap) {
      const item = this.#heap.pop()!; // there is a first
      if (item.stage === "waiting" && item.due === first) this.#runnable(item);
    }
    this.#setTimer();
  }
}

function lineId(category: string, key: string): string {
  return `${category}/${key}`; // a category has no slash
}
