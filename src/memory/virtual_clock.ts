/** A clock for tests: its time passes only when the test moves it. */
import { nextTick } from "node:process";
import { setImmediate } from "node:timers";
import { checkNumber } from "../data/checks.ts";
import { firstIndex } from "../data/binary_search.ts";
import { checkTimer, type Clock, type Timer } from "../ports/clock.ts";
import { openOnce } from "../ports/open_once.ts";

/**
 * Loads parts of Catga now that an app would load on first use; on a busy machine a minute of virtual time would pass
 * while they load.
 */
const loadParts = openOnce(async () => await (await import("../catga.ts")).loadParts());

interface DueTimer {
  readonly at: number;
  /** Number by which timers that are due at the same time run in the order in which they were set. */
  readonly order: number;
  /** Calls the timer's callback in a microtask, in the async context in which the timer was set. */
  readonly fire: () => void;
}

/**
 * Number of turns of the event loop without an event after which the process is at rest: promises, ticks and immediates
 * have run.
 */
const QUIET_TURNS = 3;
const START = Date.UTC(2026, 0, 1);
/**
 * A clock of {@link VirtualClock.ofTicks} waits for an immediate, instead of a tick, once in this number of turns, so
 * that other code of the process can go on.
 */
const OWN_TURN = 64;
/** The last time that a `Date` can hold, in ms since 1970. */
const MAX_DATE = 8_640_000_000_000_000;
/** Number of turns of the event loop after which code that does not come to rest is an error. */
const MAX_TURNS = 100_000;

/**
 * A {@link Clock} that stands still until {@link VirtualClock.advance} moves it, for a `MemoryNetwork` in a test: hours
 * pass in milliseconds, and the same way each time.
 *
 * @example
 * ```ts
 * import { VirtualClock } from "@catga/catga/testing";
 *
 * const clock = new VirtualClock();
 * clock.after(60_000, () => console.log("a minute has passed"));
 * await clock.advance(60_000);
 * ```
 */
export class VirtualClock implements Clock {
  readonly #start: number;
  #passed = 0;
  #leapt = 0;
  #order = 0;
  #advancing = false;
  /** Callbacks given to {@link VirtualClock.soon}, each to be called in a later turn of the event loop. */
  #soon: (() => void)[] = [];
  /** Errors that callbacks threw. The next call of `advance` throws the first of them. */
  readonly #thrown: { readonly error: unknown }[] = [];
  #ticks = false;
  /** Number of turns of the event loop for which the clock has waited. */
  #turns = 0;
  /** Number of events on this clock: set timers, callbacks, and the like. If it does not grow, the code is at rest. */
  #events = 0;
  /** Timers that are set, in the order in which they will run. */
  readonly #timers: DueTimer[] = [];

  /** `start`: time of the wall clock at the beginning, in ms since 1970; default: the beginning of 2026. */
  constructor(start: number = START) {
    checkNumber("VirtualClock: start", start, -MAX_DATE, MAX_DATE, "ms");
    this.#start = start;
  }

  /**
   * Makes a clock that, before each timer, waits for promises and ticks, but for immediates only now and then: so time
   * is advanced in a third of the time that another clock takes.
   *
   * @internal
   */
  static ofTicks(): VirtualClock {
    const clock = new VirtualClock();
    clock.#ticks = true;
    return clock;
  }

  /** Number of timers that are set on this clock. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Time until the next timer of this clock is due, in ms; `undefined`: none is set. */
  get next(): number | undefined {
    return this.#timers.length === 0 ? undefined : this.#timers[0].at - this.#passed;
  }

  now(): number {
    return this.#start + this.#passed + this.#leapt;
  }

  monotonic(): number {
    return this.#passed;
  }

  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer {
    checkTimer(ms, callback, options);
    this.#events++;
    const due = { at: this.#passed + ms, order: this.#order++, fire: this.#later(callback) };
    this.#timers.splice(this.#place(due), 0, due);
    return {
      cancel: () => {
        const place = this.#place(due);
        if (this.#timers[place] === due) this.#timers.splice(place, 1);
      },
    };
  }

  soon(callback: () => void): void {
    this.#events++;
    this.#soon.push(this.#later(callback));
    // nothing to do: the caller of `advance`, or an immediate that is already set, runs the callback
    if (this.#advancing || this.#soon.length > 1) return;
    setImmediate(() => this.#callSoon());
  }

  #callSoon(): void {
    for (const callback of this.#soon.splice(0)) callback();
  }

  /**
   * Returns a function that calls `callback` in a microtask, in the present async context. (A promise keeps the
   * context at a tenth of the cost of `AsyncLocalStorage.bind` in Deno.)
   */
  #later(callback: () => void): () => void {
    let fire!: () => void;
    new Promise<void>((resolve) => fire = resolve).then(callback).catch((error) => void this.#thrown.push({ error }));
    return fire;
  }

  /**
   * Lets `ms` pass (0 or more, as far as a `Date` goes): runs the timers that come due, including timers that are set
   * while it runs, in the order of their times. Before each timer, and at the end, it waits until the event loop has
   * come to rest: promises, `process.nextTick` and `setImmediate`, but no input or output, nor timers that are not of
   * this clock. Rejects with an `Error` when the code under test never comes to rest.
   */
  async advance(ms: number): Promise<void> {
    checkNumber("advance: ms", ms, 0, this.#left, "ms");
    const end = this.#passed + ms;
    await this.#run(end, () => false);
    this.#passed = end;
  }

  /**
   * Lets time pass as {@link VirtualClock.advance} does until `enough` returns true, which is asked whenever the event
   * loop has come to rest, or until no timer is due before `end`, a moment of {@link VirtualClock.monotonic}.
   *
   * @internal
   */
  async run(end: number, enough: () => boolean): Promise<void> {
    await this.#run(end, enough);
    if (!enough() && this.#timers.length > 0) this.#passed = Math.max(this.#passed, end);
  }

  /**
   * Lets time pass as {@link VirtualClock.advance} does until a promise has settled, and settles as the promise does.
   * Rejects with an `Error` if the promise has not settled within `limit` ms of virtual time (default 60,000).
   */
  async until<T>(promise: Promise<T>, limit = 60_000): Promise<T> {
    checkNumber("until: limit", limit, 0, Infinity, "ms");
    let settled = false;
    const settle = () => {
      settled = true;
    };
    promise.then(settle, settle);
    await this.#run(this.#passed + Math.min(limit, this.#left), () => settled);
    if (!settled) throw new Error(`the promise has not settled within ${limit} ms of virtual time`);
    return await promise;
  }

  /**
   * Moves the time of day forward by `ms` at once (0 or more, as far as a `Date` goes), as when a clock is set.
   * {@link VirtualClock.now} is later by that, and no timer runs.
   */
  leap(ms: number): void {
    checkNumber("leap: ms", ms, 0, this.#left, "ms");
    this.#leapt += ms;
  }

  /**
   * Time until the last moment that a `Date` can hold, in ms. (Far behind it, timers would no longer move the time
   * on.)
   */
  get #left(): number {
    return MAX_DATE - this.now();
  }

  async #run(end: number, enough: () => boolean): Promise<void> {
    if (this.#advancing) throw new Error("advance is under way; await it before the next");
    this.#advancing = true;
    try {
      await loadParts();
      await this.#runUntilQuiet();
      while (!enough() && this.#timers.length > 0 && this.#timers[0].at <= end) {
        const due = this.#timers.shift()!;
        this.#passed = due.at;
        this.#events++;
        due.fire();
        await this.#runUntilQuiet();
      }
    } finally {
      this.#advancing = false;
    }
  }

  async #runUntilQuiet(): Promise<void> {
    let quiet = 0;
    for (let turns = 0; quiet < QUIET_TURNS || this.#soon.length > 0; turns++) {
      if (turns === MAX_TURNS) throw new Error(`the code under test does not come to rest in ${MAX_TURNS} turns`);
      const before = this.#events;
      // an immediate runs after all ticks, a tick after all microtasks: so promises and ticks have run
      if (!this.#ticks || ++this.#turns % OWN_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      else await new Promise<void>((resolve) => nextTick(resolve));
      this.#callSoon();
      quiet = this.#events === before ? quiet + 1 : 0;
    }
    if (this.#thrown.length > 0) throw this.#thrown.shift()!.error;
  }

  /** Returns the index of a timer in `#timers`; for a new timer, the index at which it must be inserted. */
  #place(due: DueTimer): number {
    return firstIndex(this.#timers.length, (index) => {
      const other = this.#timers[index];
      return other.at < due.at || (other.at === due.at && other.order < due.order);
    });
  }
}
