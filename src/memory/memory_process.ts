/** A simulated process behind a connection in memory: it can be frozen and killed. */
import type { Clock, Random, Timer } from "../ports/clock.ts";
import { RestingClock } from "../ports/resting_clock.ts";

/**
 * A simulated process. Everything that reaches it from outside, its timers included, goes through
 * {@link MemoryProcess.enter}: at once while the process runs; later if the process is frozen and goes on; never if
 * it is dead.
 */
export class MemoryProcess {
  /** The network's clock; its timers wait while the process is frozen. */
  readonly clock: Clock;
  readonly #clock: RestingClock;
  readonly #random: Random;
  #state: "running" | "frozen" | "dead" = "running";
  /** Time in ms by which the process's wall clock is ahead of the network's; negative: behind. */
  skew = 0;
  #arrivals: (() => void)[] = [];
  #timers: (() => void)[] = [];
  readonly #deaths = new Set<() => void>();

  /** `random` decides if a process that goes on after a freeze handles its timers or its messages first. */
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

  /**
   * Runs a callback when the process runs. Everything that reaches the process, or that the process sends, goes through
   * this method.
   */
  enter(callback: () => void): void {
    if (this.#state === "running") callback();
    else if (this.#state === "frozen") this.#arrivals.push(callback);
  }

  pause(): void {
    if (this.#state === "running") this.#state = "frozen";
  }

  /**
   * Lets a frozen process go on. Everything that arrived during the freeze is handled in turns of the event loop of its
   * own, before anything that arrives after this call.
   */
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
    const deaths = [...this.#deaths];
    this.#deaths.clear();
    for (const callback of deaths) callback();
  }

  /**
   * Calls `callback` when the process is killed, until the returned function is called: what a server keeps for a
   * process must not keep what that process held.
   */
  onDeath(callback: () => void): () => void {
    this.#deaths.add(callback);
    return () => this.#deaths.delete(callback);
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
