/**
 * Timeouts of many calls under one timer of the clock. Nearly all such timeouts are cancelled, and a timer for each
 * takes a tenth of the processor of a workflow run (measured, Deno). `deadline_wheel.ts` is for many more timeouts: it
 * wakes four times a second, which a call that waits for days should not.
 */
import { outside } from "../data/async_context.ts";
import { ChurnSet } from "../data/churn.ts";
import type { Clock, Timer } from "./clock.ts";

/** Options of a {@link SharedTimer}. */
interface SharedTimerOptions {
  /** True if the timeouts do not keep the process running, and end with the node; default false. */
  readonly background?: boolean;
}

/** Sets timeouts, which share one timer of the clock: it fires when the first of them may be due. */
export class SharedTimer {
  readonly #clock: Pick<Clock, "monotonic" | "after">;
  readonly #background: boolean;
  readonly #timeouts = new ChurnSet<SharedTimeout>();
  #timer: Timer | undefined;
  /** Time at which the timer fires, by the monotonic clock. */
  #due = Infinity;

  constructor(clock: Pick<Clock, "monotonic" | "after">, { background = false }: SharedTimerOptions = {}) {
    this.#clock = clock;
    this.#background = background;
  }

  /** Calls `callback`, which must not throw, after `ms`, outside of any caller's async context. */
  after(ms: number, callback: () => void): Timer {
    const timeout = new SharedTimeout(this, this.#clock.monotonic() + ms, callback);
    this.#timeouts.add(timeout);
    if (timeout.due < this.#due) this.#arm(timeout.due);
    return timeout;
  }

  /** @internal Removes a timeout; without timeouts, the timer may not keep the process running. */
  delete(timeout: SharedTimeout): void {
    if (!this.#timeouts.delete(timeout) || this.#timeouts.size > 0 || this.#background) return;
    this.#timer?.cancel();
    this.#due = Infinity;
  }

  #arm(due: number): void {
    this.#timer?.cancel();
    this.#due = due;
    const background = this.#background;
    this.#timer = this.#clock.after(Math.max(0, due - this.#clock.monotonic()), () => outside(() => this.#fire()), {
      background,
    });
  }

  #fire(): void {
    this.#due = Infinity;
    const now = this.#clock.monotonic() + EARLY;
    let next = Infinity;
    const over: SharedTimeout[] = [];
    for (const timeout of this.#timeouts) {
      if (timeout.due <= now) over.push(timeout);
      else next = Math.min(next, timeout.due);
    }
    for (const timeout of over) this.#timeouts.delete(timeout);
    if (next < Infinity) this.#arm(next);
    for (const timeout of over) timeout.fire();
  }
}

/** A timeout of a {@link SharedTimer}. */
class SharedTimeout implements Timer {
  readonly #shared: SharedTimer;
  /** When the timeout is over, by the monotonic clock. */
  readonly due: number;
  #callback: (() => void) | undefined;

  constructor(shared: SharedTimer, due: number, callback: () => void) {
    this.#shared = shared;
    this.due = due;
    this.#callback = callback;
  }

  fire(): void {
    const callback = this.#callback;
    this.#callback = undefined;
    callback?.();
  }

  cancel(): void {
    this.#callback = undefined;
    this.#shared.delete(this);
  }
}

/** Time by which a timer may fire too early, in ms. */
const EARLY = 1;
