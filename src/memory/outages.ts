/** Cuts connections and freezes processes again and again, at random moments, as the faults say. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { FaultSource, Outage } from "./faults.ts";

/** A connection and its process, as far as outages concern them. */
export interface Victim {
  cut(): void;
  restore(): void;
  pause(): void;
  resume(): void;
}

/** The outages of all connections. One that has begun ends by itself, even if the faults have changed. */
export class OutageSchedule {
  readonly #clock: Clock;
  readonly #source: FaultSource;
  readonly #victims = new Set<Victim>();
  /** Those of the outages that have not begun. */
  #timers = new Set<Timer>();

  constructor(clock: Clock, source: FaultSource) {
    this.#clock = clock;
    this.#source = source;
  }

  /** All connections, in the order in which they were added. */
  get victims(): Iterable<Victim> {
    return this.#victims;
  }

  add(victim: Victim): void {
    this.#victims.add(victim);
    this.#schedule(victim);
  }

  delete(victim: Victim): void {
    this.#victims.delete(victim);
  }

  /** The faults have changed: schedules all outages anew. */
  refresh(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = new Set();
    for (const victim of this.#victims) this.#schedule(victim);
  }

  #schedule(victim: Victim): void {
    this.#wait(victim, "cut", () => victim.cut(), () => victim.restore());
    this.#wait(victim, "pause", () => victim.pause(), () => victim.resume());
  }

  #wait(victim: Victim, kind: Outage, begin: () => void, end: () => void): void {
    const outages = this.#source.faults[kind];
    if (outages === undefined) return;
    const timers = this.#timers;
    const { random } = this.#source;
    // exponential gaps: a Poisson process
    const timer = this.#clock.after(-Math.log(1 - random()) * outages.every, () => {
      timers.delete(timer);
      if (!this.#victims.has(victim)) return;
      begin();
      this.#clock.after(random() * outages.lasts, () => {
        end();
        // otherwise the faults have changed, and the next outage is already scheduled
        if (timers === this.#timers) this.#wait(victim, kind, begin, end);
      }, { background: true });
    }, { background: true });
    timers.add(timer);
  }
}
