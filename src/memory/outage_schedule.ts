/** Cuts connections, freezes processes and stops the logs again and again, at random moments, as `Faults` describes. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { MemoryEventLog } from "./event_log.ts";
import type { FaultSource, Outage } from "./faults.ts";

/** A connection and its process, as outages act on them. */
interface Victim {
  cut(): void;
  restore(): void;
  pause(): void;
  resume(): void;
}

/** The logs' server, as outages act on it. */
type LogVictim = Pick<MemoryEventLog, "begin" | "end">;

/**
 * Begins and ends the outages of all connections and of the logs. An outage that has begun ends by itself, even if
 * the faults have changed.
 */
export class OutageSchedule {
  readonly #clock: Clock;
  readonly #source: FaultSource;
  readonly #victims = new Set<Victim>();
  readonly #log: LogVictim;
  /** Timers of outages that have not begun yet. */
  #timers = new Set<Timer>();

  constructor(clock: Clock, source: FaultSource, log: LogVictim) {
    this.#clock = clock;
    this.#source = source;
    this.#log = log;
  }

  /** All connections on which outages act, in the order in which they were added. */
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

  /** Schedules all outages anew that have not begun. Call when the faults have changed. */
  refresh(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = new Set();
    for (const victim of this.#victims) this.#schedule(victim);
    const log = this.#log;
    for (const kind of ["noLeader", "noQuorum"] as const) {
      this.#wait(kind, { alive: () => true, begin: () => log.begin(kind), end: () => log.end(kind) });
    }
  }

  #schedule(victim: Victim): void {
    const alive = () => this.#victims.has(victim);
    this.#wait("cut", { alive, begin: () => victim.cut(), end: () => victim.restore() });
    this.#wait("pause", { alive, begin: () => victim.pause(), end: () => victim.resume() });
  }

  #wait(kind: Outage, what: { alive(): boolean; begin(): void; end(): void }): void {
    const outages = this.#source.faults[kind];
    if (outages === undefined) return;
    const timers = this.#timers;
    const { random } = this.#source;
    // the time to the next outage is exponentially distributed, so that the outages are a Poisson process
    const timer = this.#clock.after(-Math.log(1 - random()) * outages.every, () => {
      timers.delete(timer);
      if (!what.alive()) return;
      what.begin();
      this.#clock.after(random() * outages.lasts, () => {
        what.end();
        // if `#timers` is another set, the faults have changed since this outage was scheduled, and the next outage is
        // scheduled already
        if (timers === this.#timers) this.#wait(kind, what);
      }, { background: true });
    }, { background: true });
    timers.add(timer);
  }
}
