/**
 * The share of an app's handlers in a turn of the event loop: 5 ms. Those that have not begun then wait for the next turn,
 * so that pings, cancellations and other senders are heard while handlers compute.
 */
import { nextTick } from "node:process";
import type { Clock } from "../ports/clock.ts";

/** The slice of this turn, and of each that follows. */
export class TurnBudget {
  readonly #clock: Clock;
  #over = false;
  /** It has taken so long that a timer ends it. */
  #long = false;
  /** When the first handler of this turn was done, by the monotonic clock; -1 before. */
  #since = -1;
  /** When the clock was last looked at, how many handlers ago the next look is due, and how many lie between two. */
  #now = 0;
  #unseen = 0;
  #stride = 1;
  /** To be called in the next turn. */
  #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it is used up. */
  get over(): boolean {
    return this.#over;
  }

  /**
   * A handler has given the event loop back, for now or for good. Gives the time by the monotonic clock, of a few handlers
   * ago perhaps: the clock is looked at the more seldom the faster they are.
   */
  spent(): number {
    if (--this.#unseen > 0) return this.#now;
    const now = this.#clock.monotonic();
    if (this.#since < 0) {
      this.#since = now;
      this.#stride = 1;
      nextTick(this.#ended);
    } else {
      this.#stride = now - this.#now < FAST ? Math.min(2 * this.#stride, MAX_STRIDE) : 1;
      if (now - this.#since > SHORT && !this.#long) this.#lengthen();
      if (now - this.#since > SLICE) this.#over = true;
    }
    this.#unseen = this.#stride;
    return this.#now = now;
  }

  /** Calls back when the next turn's slice begins. */
  then(callback: () => void): void {
    this.#waiting.push(callback);
  }

  /** What the event loop called has returned to it. Short turns end so, for a timer costs as much as ten of their handlers. */
  readonly #ended = (): void => {
    if (!this.#long) this.#begin();
  };

  /** It has to end with the turn of the event loop itself, and others may come in it. */
  #lengthen(): void {
    this.#long = true;
    // no immediate: while one follows another, Deno reads from its sockets every 61st time only (2.9.6)
    this.#clock.after(0, () => this.#next());
  }

  #begin(): void {
    this.#since = -1;
    this.#unseen = 0;
    this.#over = this.#long = false;
  }

  #next(): void {
    this.#begin();
    for (const callback of this.#waiting.splice(0)) callback();
  }
}

const SLICE = 5; // ms
const SHORT = 1; // ms of handlers in a turn that is given back by itself
const FAST = 0.05; // ms between two looks: they may lie further apart
const MAX_STRIDE = 16; // handlers: as many slow ones in a row may go unnoticed
