/** The passing of virtual time in a run of `explore`: it stands still while the program waits for something outside. */
import { setTimeout as wait } from "node:timers/promises";
import type { VirtualClock } from "../memory/virtual_clock.ts";
import { isOutside, type RunningFunction, type RunningFunctions } from "./running_functions.ts";

/** Real time granted to code of the program that waits for something outside of Catga and virtual time. */
export interface RealPatience {
  /** Real time that is left in this run, in ms. */
  left: number;
  /** True if all waits for such code so far were in vain; later runs then wait for a shorter time. */
  isInVain: boolean;
}

/** The run whose time passes. */
export interface ExploredTimeHost {
  readonly clock: VirtualClock;
  readonly running: RunningFunctions;
  /** The patience that the runs of several plans share. */
  readonly patience: RealPatience;
  /** Returns true if a node has a process that is not frozen. */
  isAwake(node: string): boolean;
  /** Returns the error because of which the run cannot go on; `undefined`: there is none. */
  broken(): Error | undefined;
  /** Returns what is not handled yet, for the error of a wait that takes too long. */
  unhandled(): readonly string[];
}

/** Lets virtual time pass, and real time while the program waits for something outside of it. */
export class ExploredTime {
  readonly #host: ExploredTimeHost;
  /** Number of promises that the program has given to `io` and that have not settled yet. */
  #io = 0;

  constructor(host: ExploredTimeHost) {
    this.#host = host;
    host.patience.left = host.patience.isInVain ? SHORT_PATIENCE : PATIENCE;
  }

  /** Resolves like a promise of the program (`io`); virtual time stands still until that promise has settled. */
  readonly io = async <T>(promise: Promise<T>): Promise<T> => {
    this.#io++;
    return await promise.finally(() => void this.#io--);
  };

  /** Lets time pass until a promise has settled; rejects if that takes longer than `limit` ms of virtual time. */
  async until<T>(promise: Promise<T>, limit: number, what: string): Promise<T> {
    let isSettled = false;
    const settled = () => {
      isSettled = true;
    };
    promise.then(settled, settled);
    const { clock, broken } = this.#host;
    const end = clock.monotonic() + limit;
    let idle = 0;
    while (true) {
      await clock.run(end, () => isSettled || broken() !== undefined || this.#waitsOutside());
      if (isSettled) return await promise;
      const error = broken();
      if (error !== undefined) throw error;
      const outside = this.#io > 0 || this.#waitsOutside();
      if (clock.monotonic() < end && !outside && clock.next !== undefined) continue;
      if (clock.monotonic() >= end && !outside) throw new Error(this.#overdue(what, limit));
      if (!await this.#waitOutside() && ++idle > IO_LIMIT) throw new Error(this.#overdue(what, limit));
    }
  }

  /** Waits for 1 ms of real time. Resolves with true if a promise for which the program waited outside has settled. */
  async #waitOutside(): Promise<boolean> {
    const { clock, patience } = this.#host;
    const before = this.#outsideFunctions();
    const io = this.#io;
    await wait(1);
    await clock.advance(0);
    const isOver = this.#io < io || before.some((code) => !isOutside(code));
    if (isOver) patience.left = Math.max(patience.left, SHORT_PATIENCE);
    else if (this.#io === 0) patience.left--;
    if (isOver) patience.isInVain = false;
    return isOver;
  }

  /** Returns true if the program waits for something outside of the cluster; virtual time must not pass then. */
  #waitsOutside(): boolean {
    if (this.#io > 0) return true;
    return this.#host.patience.left > 0 && this.#outsideFunctions().length > 0;
  }

  #outsideFunctions(): RunningFunction[] {
    return this.#host.running.outside((id) => this.#host.isAwake(id));
  }

  /** Returns the message of the error that something has not happened within a limit, with what still waits. */
  #overdue(what: string, limit: number): string {
    const waiting = this.#outsideFunctions().map(({ label, of }) =>
      `${label}${of === undefined ? "" : ` on ${of.node}`} waits for something outside of virtual time: wrap it as ` +
      "io(promise)"
    );
    const left = [...this.#host.unhandled(), ...waiting];
    return `${what} within ${limit} ms of virtual time${left.length === 0 ? "" : `: ${left.join("; ")}`}`;
  }
}

/** Real time for which functions of the program may wait for something outside without `io`, in ms. */
const PATIENCE = 1_000;
/** Real time for which functions of the program may wait without `io` after an earlier wait was in vain, in ms. */
const SHORT_PATIENCE = 50;
/** Real time after which a promise given to `io` that has not settled is an error, in ms. */
const IO_LIMIT = 60_000;
