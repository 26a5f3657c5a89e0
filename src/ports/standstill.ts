/**
 * Detects that this process stood still: its machine or a debugger paused it, or a computation blocked its event loop.
 * After a standstill, its knowledge of other processes may be out of date, and messages that arrived during it wait in
 * its sockets.
 */
import { type Clock, elapsed, type Stamp, stamp, type Timer } from "./clock.ts";

/** Detects standstills of this process. */
export class Standstill {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #over: () => boolean;
  #looked: Stamp;
  #ended = -Infinity;
  #timer: Timer | undefined;
  #closed = false;

  /** Detects standstills of more than `limit` ms. Stops when `over()` returns true. */
  constructor(clock: Clock, limit: number, over: () => boolean) {
    this.#clock = clock;
    this.#limit = limit;
    this.#over = over;
    this.#looked = stamp(clock);
    this.#later();
  }

  /**
   * Time at which the last standstill ended, by the monotonic clock; `-Infinity`: there was none. If this call is the
   * first to notice a standstill, the present time.
   */
  get ended(): number {
    // this getter is read for each message, so it has to be fast: if the wall clock has not moved since the last check,
    // there was no standstill
    if (this.#clock.now() === this.#looked.wall) return this.#ended;
    if (elapsed(this.#clock, this.#looked) > this.#limit) this.#ended = this.#clock.monotonic();
    this.#looked = stamp(this.#clock);
    return this.#ended;
  }

  /** Time of the last check for a standstill, by the monotonic clock. */
  get looked(): number {
    return this.#looked.monotonic;
  }

  /** Stops the detection of standstills: no timer is set any more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #later(): void {
    this.#timer = this.#clock.after(this.#limit / 2.5, () => {
      if (this.#closed || this.#over()) return;
      void this.ended;
      this.#later();
    }, { background: true });
  }
}

/**
 * Returns true if a timer that was due at `due` and fires `now`, both by the monotonic clock, is so late that this
 * process must have stood still: answers that arrived during the standstill may be unread in its sockets.
 */
export function stoodStill(now: number, due: number): boolean {
  return now - due >= MAX_TIMER_DELAY;
}

/** Delay of a timer, in ms, that shows that this process stood still. */
const MAX_TIMER_DELAY = 250;
