/** Messages on their way into the parking. Where there is no room they wait, and the subscription stops: nothing is passed over. */
import { isCatgaError } from "../../error.ts";
import { Fifo } from "../../data/fifo.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Parking } from "../parking/parking.ts";
import type { ParkedState } from "../parking/parking_options.ts";
import type { OpenItem } from "./category.ts";

/** What a {@link Putting} is made of. */
export interface PuttingOptions {
  readonly parking: Pick<Parking, "park">;
  readonly clock: Clock;
  /** It is stored. */
  put(item: OpenItem): void;
  /** Messages cannot be parked (`error`), or can again (`undefined`). */
  onStopped(error: unknown): void;
}

/** A message, and what is stored of its attempts. */
type Waiting = readonly [item: OpenItem, state: ParkedState];

/** Parks messages, each until that is done. */
export class Putting {
  readonly #options: PuttingOptions;
  /** Those that wait for room. Of each key there is one at most. */
  readonly #waiting = new Fifo<Waiting>();
  #stopped = false;
  /** The one that is tried meanwhile. */
  #probe: Waiting | undefined;
  /** Of the next try. Only one: a second could fire while the only message is being tried, which would then not be tried again. */
  #timer: Timer | undefined;
  #pause = FIRST;
  #closed = false;

  constructor(options: PuttingOptions) {
    this.#options = options;
  }

  /** Parks a message; `put` is called when that is stored. */
  put(item: OpenItem, state: ParkedState): void {
    if (this.#stopped) this.#waiting.push([item, state]);
    else this.#try([item, state]);
  }

  close(): void {
    this.#closed = true;
    this.#waiting.keep(() => false);
  }

  #try(waiting: Waiting): void {
    const [item, state] = waiting;
    this.#options.parking.park(item.message, state).then(
      () => {
        if (this.#closed) return;
        if (this.#stopped) this.#goOn();
        this.#options.put(item);
      },
      (error) => {
        if (this.#closed || (isCatgaError(error) && error.code === "CLOSED")) return;
        this.#waiting.push(waiting);
        this.#options.onStopped(error);
        if (this.#stopped && this.#probe !== waiting) return;
        this.#stopped = true;
        this.#tryLater();
      },
    );
  }

  /** There is room again, as far as one message shows. */
  #goOn(): void {
    this.#stopped = false;
    this.#pause = FIRST;
    this.#options.onStopped(undefined);
    for (let next = this.#waiting.shift(); next !== undefined && !this.#stopped; next = this.#waiting.shift()) {
      this.#try(next);
    }
  }

  #tryLater(): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(this.#pause, () => {
      this.#pause = Math.min(LONGEST, this.#pause * 2);
      if (this.#closed || !this.#stopped) return;
      this.#probe = this.#waiting.shift();
      if (this.#probe !== undefined) this.#try(this.#probe);
    }, { background: true });
  }
}

/** Pauses before it is tried again, in ms. */
const FIRST = 500;
const LONGEST = 10_000;
