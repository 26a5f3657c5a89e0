/**
 * Notices that this process stood still: its machine or a debugger paused it, or a computation blocked its event loop. After
 * that, what it knew of other processes may be out of date, and messages that came before wait in its sockets.
 */
import type { Clock } from "./clock.ts";

/** Watches one process. */
export class Standstill {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #over: () => boolean;
  #looked: { wall: number; monotonic: number };
  #ended = -Infinity;

  /** Notices standstills of more than `limit` ms, until `over()`. */
  constructor(clock: Clock, limit: number, over: () => boolean) {
    this.#clock = clock;
    this.#limit = limit;
    this.#over = over;
    this.#looked = { wall: clock.now(), monotonic: clock.monotonic() };
    this.#later();
  }

  /** When the last one ended, by the monotonic clock; `-Infinity`: there was none. One that no timer has noticed yet ends now. */
  get ended(): number {
    const now = { wall: this.#clock.now(), monotonic: this.#clock.monotonic() };
    // the monotonic clock stands still while some machines sleep
    const passed = Math.max(now.wall - this.#looked.wall, now.monotonic - this.#looked.monotonic);
    if (passed > this.#limit) this.#ended = now.monotonic;
    this.#looked = now;
    return this.#ended;
  }

  #later(): void {
    this.#clock.after(this.#limit / 4, () => {
      if (this.#over()) return;
      void this.ended;
      this.#later();
    }, { background: true });
  }
}
