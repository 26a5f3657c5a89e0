/**
 * Limits the time of handlers in a turn of the event loop. An app's handlers start for at most 5 ms in a turn; handlers
 * that have not started by then wait for the next turn. So the node reads pings, cancellations and other messages while
 * its handlers compute.
 */
import { nextTick } from "node:process";
import { outside } from "../data/async_context.ts";
import { afterOrAtEnd, type Clock } from "../ports/clock.ts";
import { RunningTime } from "../ports/standstill.ts";

/** The time for handlers in a turn of the event loop, 5 ms; it begins anew in each turn. */
export class TurnBudget {
  /** Time without the pauses of this process, for all queues that share this budget. */
  readonly time: RunningTime;
  readonly #clock: Clock;
  #over = false;
  /** True if handlers of this turn have run for longer than `SHORT_TURN`: a timer ends the turn. */
  #long = false;
  /** Time at which the first handler of this turn returned, by the monotonic clock; -1: none has. */
  #since = -1;
  /** The time when the monotonic clock was last read. */
  #now = 0;
  /** Number of handlers that may return before the clock is read again. */
  #unseen = 0;
  /** Number of handlers that return between two readings of the clock. */
  #stride = 1;
  /** Callbacks for the next turn. */
  #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.time = new RunningTime(clock);
  }

  /** True if the time for handlers in this turn is used up. */
  get over(): boolean {
    return this.#over;
  }

  /**
   * Call this method when a handler has returned, with its result or with a promise. Returns the time by the monotonic
   * clock, which may be a few handlers old: the faster the handlers, the less often the clock is read.
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
      if (now - this.#since > SHORT_TURN && !this.#long) this.#lengthen();
      if (now - this.#since > BUDGET) this.#over = true;
    }
    this.#unseen = this.#stride;
    return this.#now = now;
  }

  /** Calls back in the next turn of the event loop. */
  nextTurn(callback: () => void): void {
    this.#waiting.push(callback);
  }

  /**
   * Ends this turn's count of time as soon as the running callback of the event loop has returned, unless handlers have
   * taken much of that time. It uses no timer, which would cost as much as ten handlers.
   */
  readonly #ended = (): void => {
    if (!this.#long) this.#begin();
  };

  /**
   * Sets a timer that ends this turn's count of time, so that further callbacks in the same turn of the event loop take
   * their time for handlers from the same budget.
   */
  #lengthen(): void {
    this.#long = true;
    // a timer ends the turn, not an immediate: while one immediate follows another, Deno reads from its sockets only
    // every 61st time (2.9.6)
    afterOrAtEnd(this.#clock, 0, () => outside(() => this.#next()));
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

const BUDGET = 5; // ms for handlers in a turn
const SHORT_TURN = 1; // ms: a turn whose handlers take less ends without a timer
const FAST = 0.05; // ms between two readings of the clock; if less has passed, the stride doubles
const MAX_STRIDE = 16; // handlers between two readings of the clock; so many slow ones may go unnoticed
