/** Breaks and freezes connections again and again, as the faults say. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { FaultSource, Outage } from "./faults.ts";

/** A connection, as far as it can go and come back. */
export interface Victim {
  cut(): void;
  restore(): void;
  pause(): void;
  resume(): void;
}

/** The outages of all connections. One that has begun ends by itself, whatever the faults are then. */
export class OutageSchedule {
  readonly #clock: Clock;
  readonly #source: FaultSource;
  readonly #victims = new Set<Victim>();
  /** The outages that have not begun. */
  #timers = new Set<Timer>();

  constructor(clock: Clock, source: FaultSource) {
    this.#clock = clock;
    this.#source = source;
  }

  /** All that may have an outage, in the order in which they came. */
  get victims(): Iterable<Victim> {
    return this.#victims;
  }

  add(victim: Victim): void {
    this.#victims.add(victim);
    this.#begin(victim);
  }

  delete(victim: Victim): void {
    this.#victims.delete(victim);
  }

  /** The faults have been changed. */
  refresh(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = new Set();
    for (const victim of this.#victims) this.#begin(victim);
  }

  #begin(victim: Victim): void {
    this.#wait(victim, "cut", () => victim.cut(), () => victim.restore());
    this.#wait(victim, "pause", () => victim.pause(), () => victim.resume());
  }

  #wait(victim: Victim, kind: Outage, begin: () => void, end: () => void): void {
    const outages = this.#source.faults[kind];
    if (outages === undefined) return;
    const timers = this.#timers;
    const { random } = this.#source;
    // the gaps of a Poisson process
    const timer = this.#clock.after(-Math.log(1 - random()) * outages.every, () => {
      timers.delete(timer);
      if (!this.#victims.has(victim)) return;
      begin();
      this.#clock.after(random() * outages.lasts, () => {
        end();
        // else the faults have been changed, and what follows has been set anew
        if (timers === this.#timers) this.#wait(victim, kind, begin, end);
      }, { background: true });
    }, { background: true });
    timers.add(timer);
  }
}
