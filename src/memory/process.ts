/** The process behind a connection, as far as a network in memory can freeze and end one. */
import type { Clock, Random, Timer } from "../ports/clock.ts";

/**
 * Everything that comes to a process from outside, its timers included, enters here: at once while it runs, when it goes
 * on after it was frozen, and never when it is dead.
 */
export class MemoryProcess {
  /** The network's time, with timers of this process's own: they wait while it is frozen. */
  readonly clock: Clock;
  readonly #clock: Clock;
  readonly #random: Random;
  #state: "running" | "frozen" | "dead" = "running";
  #news: (() => void)[] = [];
  #timers: (() => void)[] = [];

  /** `random` says whether a process that goes on hears its timers or its messages first. */
  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.clock = {
      now: () => clock.now(),
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

  /** Something comes to the process, or is to leave it. */
  enter(callback: () => void): void {
    if (this.#state === "running") callback();
    else if (this.#state === "frozen") this.#news.push(callback);
  }

  pause(): void {
    if (this.#state === "running") this.#state = "frozen";
  }

  /** Goes on: what has come meanwhile enters in turns of its own, before anything that comes later. */
  resume(): void {
    if (this.#state !== "frozen") return;
    this.#state = "running";
    const [news, timers] = [this.#news, this.#timers];
    this.#news = [];
    this.#timers = [];
    const kept = news.length > 0 && timers.length > 0 && this.#random() < 0.5
      ? [...timers, ...news]
      : [...news, ...timers];
    for (const callback of kept) this.#clock.soon(() => this.enter(callback));
  }

  kill(): void {
    this.#state = "dead";
    this.#news = [];
    this.#timers = [];
  }

  #after(ms: number, callback: () => void, options: { background?: boolean } | undefined): Timer {
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
