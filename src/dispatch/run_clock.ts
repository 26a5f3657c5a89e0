/** The clock of one run of a handler: its sleeps end with the message. */
import { checkSignal } from "../data/checks.ts";
import { type AppClock, type Clock, sleep, type Timer } from "../ports/clock.ts";

/** The implementation of `ctx.clock`. */
export class RunClock implements AppClock {
  readonly #clock: Clock;
  readonly #run: { readonly signal: AbortSignal };

  /** `run`: the context of the handler. */
  constructor(clock: Clock, run: { readonly signal: AbortSignal }) {
    this.#clock = clock;
    this.#run = run;
  }

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(ms: number, callback: () => void, options?: { background?: boolean }): Timer {
    return this.#clock.after(ms, callback, options);
  }

  soon(callback: () => void): void {
    this.#clock.soon(callback);
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    checkSignal("sleep", signal);
    const { signal: own } = this.#run;
    await sleep(this.#clock, ms, signal === undefined ? own : AbortSignal.any([own, signal]));
  }
}
