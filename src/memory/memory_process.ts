/** The process behind a connection in memory: it can be frozen and killed. */
import type { Clock, Random, Timer } from "../ports/clock.ts";
import { RestingClock } from "../ports/resting_clock.ts";

/**
 * Everything that reaches a process from outside, its timers included, enters here: at once while it runs, later when
 * it is frozen and goes on, never when it is dead.
 */
export class MemoryProcess {
  /** The network's clock, with timers that wait while the process is frozen. */
  readonly clock: Clock;
  readonly #clock: RestingClock;
  readonly #random: Random;
  #state: "running" | "frozen" | "dead" = "running";
  /** How far its wall clock is ahead of that of the network, in ms. */
  skew = 0;
  #arrivals: (() => void)[] = [];
  #timers: (() => void)[] = [];

  /** `random` decides whether a process that goes on sees its timers or its messages first. */
  constructor(clock: Clock, random: Random) {
    this.#clock = new RestingClock(clock);
    this.#random = random;
    this.clock = {
      now: () => clock.now() + this.skew,
      monotonic: () => clock.monotonic(),
      after: (ms, callback, options) => this.#after(ms, callback, options),
      soon: (callback) => clock.soon(() => this.enter(callback)),
    };
  }

  get running(): boolean {
    return this.#state === "running";
  }

  get dead(): boolean {
    return this.#state === "dead";
  }

  /** Runs a callback of the process: something reaches it, or is to be sent by it. */
  enter(callback: () => void): void {
    if (this.#state === "running") callback();
    else if (this.#state === "frozen") this.#arrivals.push(callback);
  }

  pause(): void {
    if (this.#state === "running") this.#state = "frozen";
  }

  /** Goes on: what has arrived meanwhile enters in turns of its own, before anything that arrives later. */
  resume(): void {
    if (this.#state !== "frozen") return;
    this.#state = "running";
    const [arrivals, timers] = [this.#arrivals, this.#timers];
    this.#arrivals = [];
    this.#timers = [];
    const delayed = arrivals.length > 0 && timers.length > 0 && this.#random() < 0.5
      ? [...timers, ...arrivals]
      : [...arrivals, ...timers];
    for (const callback of delayed) this.#clock.soon(() => this.enter(callback));
  }

  kill(): void {
    this.#state = "dead";
    this.#arrivals = [];
    this.#timers = [];
    this.#clock.rest();
  }

  #after(ms: number, callback: () => void, options: { background?: boolean | undefined } | undefined): Timer {
    let set = true;
    const fire = () => {
      if (set) callback();
    };
    const timer = this.#clock.after(ms, () => {
      if (this.#state === "running") callback();
      else if (this.#state === "frozen") this.#timers.push(fire);
    }, options);
    return {
      cancel: () => {
        set = false;
        timer.cancel();
      },
    };
  }
}
