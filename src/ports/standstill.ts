/**
 * Notices that this process stood still: its machine or a debugger paused it, or a computation blocked its event loop.
 * After that, what it knew of other processes may be out of date, and messages that came before wait in its sockets.
 */
import { type Clock, elapsed, type Stamp, stamp, type Timer } from "./clock.ts";

/** Watches one process. */
export class Standstill {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #over: () => boolean;
  #looked: Stamp;
  #ended = -Infinity;
  #timer: Timer | undefined;
  #closed = false;

  /** Notices standstills of more than `limit` ms, until `over()`. */
  constructor(clock: Clock, limit: number, over: () => boolean) {
    this.#clock = clock;
    this.#limit = limit;
    this.#over = over;
    this.#looked = stamp(clock);
    this.#later();
  }

  /**
   * When the last one ended, by the monotonic clock; `-Infinity`: there was none. One that no timer has noticed yet
   * ends now.
   */
  get ended(): number {
    // read for each message: a clock that has not moved since says that nothing has happened
    if (this.#clock.now() === this.#looked.wall) return this.#ended;
    if (elapsed(this.#clock, this.#looked) > this.#limit) this.#ended = this.#clock.monotonic();
    this.#looked = stamp(this.#clock);
    return this.#ended;
  }

  /** When it last looked for one, by the monotonic clock. */
  get looked(): number {
    return this.#looked.monotonic;
  }

  /** Stops watching: no timer is left. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #later(): void {
    this.#timer = this.#clock.after(this.#limit / 4, () => {
      if (this.#closed || this.#over()) return;
      void this.ended;
      this.#later();
    }, { background: true });
  }
}
