/**
 * Messages that ran when the last leader ended. When leaders end one after the other, each of these has a moment in which nothing else
 * runs, so that the one that ends its process is told from those beside it. All of them together take a few seconds at most.
 */
import type { Clock, Timer } from "../../ports/clock.ts";
import type { OpenItem } from "./category.ts";

/** The suspects of one leader. */
export class Suspects {
  readonly #clock: Clock;
  readonly #onTurn: () => void;
  /** Those of which nothing is known yet. */
  readonly #left: Set<OpenItem>;
  /** How long one runs alone, in ms. */
  readonly #moment: number;
  #alone: OpenItem | undefined;
  #timer: Timer | undefined;
  /** Whether some have still to run alone. */
  #careful = false;

  /** `onTurn`: the next one may begin, or all others. */
  constructor(clock: Clock, items: ReadonlySet<OpenItem>, onTurn: () => void) {
    this.#clock = clock;
    this.#onTurn = onTurn;
    this.#left = new Set(items);
    this.#moment = Math.min(LONGEST, Math.max(SHORTEST, ALTOGETHER / Math.max(1, items.size)));
  }

  /** How many have neither had an outcome nor ended. */
  get left(): number {
    return this.#left.size;
  }

  /** Whether some have still to run alone. */
  get careful(): boolean {
    return this.#careful;
  }

  /** From now on each runs alone for a moment. */
  begin(): void {
    this.#careful = this.#left.size > 0;
    if (this.#careful) { for (const item of this.#left) item.suspect = true; }
  }

  /** Whether a message may begin now; else it is to be tried again at `onTurn`. */
  admits(item: OpenItem): boolean {
    if (!this.#careful) return true;
    if (this.#alone !== undefined || !item.suspect) return false;
    this.#alone = item;
    return true;
  }

  /** Its attempt has been sent. */
  sent(item: OpenItem): void {
    if (item !== this.#alone) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(this.#moment, () => this.#turn(item));
  }

  /** Its attempt has an outcome, or it will not have one. */
  over(item: OpenItem): void {
    this.#left.delete(item);
    if (item.suspect) this.#turn(item);
  }

  /** Its attempt could not be recorded: it waits for another turn. */
  back(item: OpenItem): void {
    if (item === this.#alone) this.#alone = undefined;
  }

  /** To be called when all that wait have been tried: when none of them runs alone, none of the suspects can begin. */
  tried(): boolean {
    if (!this.#careful || this.#alone !== undefined) return false;
    this.#careful = false;
    return true;
  }

  close(): void {
    this.#timer?.cancel();
  }

  #turn(item: OpenItem): void {
    item.suspect = false;
    if (item !== this.#alone) return;
    this.#alone = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#onTurn();
  }
}

/** How long one runs alone, and all of them, in ms. */
const SHORTEST = 10;
const LONGEST = 500;
const ALTOGETHER = 2_000;
