/**
 * Stands in for `@std/testing/time` in development, where JSR may be out of reach: the part of it that tests use, with
 * the same names. It is not built on `node:test`'s mock timers: while those tick over several timers, `Date.now()`
 * differs between runtimes.
 *
 * @module
 */

interface Timer {
  readonly due: number;
  readonly callback: (...args: unknown[]) => unknown;
  readonly args: unknown[];
  /** ms between calls; undefined: once. */
  readonly every?: number | undefined;
}

/** Replaces `Date` and timers by virtual ones, which move only by `tick`, until it is disposed of. */
export class FakeTime {
  readonly #real = { Date, setTimeout, clearTimeout, setInterval, clearInterval };
  readonly #timers = new Map<number, Timer>();
  #now: number;
  #lastId = 0;

  /** Fakes time from `start` on, in ms since 1970, by default from the present. */
  constructor(start: number = Date.now()) {
    this.#now = start;
    const { Date: RealDate } = this.#real;
    const now = () => this.#now;
    const clear = (id?: number) => void this.#timers.delete(id ?? 0);
    const set = (callback: Timer["callback"], ms: number, args: unknown[], every?: number) => {
      this.#timers.set(++this.#lastId, { due: this.#now + ms, callback, args, every });
      return this.#lastId;
    };
    Object.assign(globalThis, {
      Date: new Proxy(RealDate, {
        construct: (target, args, self) => Reflect.construct(target, args.length > 0 ? args : [this.#now], self),
        get: (target, name, self) => name === "now" ? now : Reflect.get(target, name, self),
      }),
      setTimeout: (callback: Timer["callback"], ms = 0, ...args: unknown[]) => set(callback, ms, args),
      setInterval: (callback: Timer["callback"], ms = 0, ...args: unknown[]) => set(callback, ms, args, ms),
      clearTimeout: clear,
      clearInterval: clear,
    });
  }

  /** Moves time on by `ms`, and runs what falls due, each timer at its own time. */
  tick(ms = 0): void {
    const until = this.#now + ms;
    for (let next = this.#next(until); next !== undefined; next = this.#next(until)) {
      const [id, timer] = next;
      this.#now = timer.due;
      this.#timers.delete(id);
      if (timer.every !== undefined) this.#timers.set(id, { ...timer, due: timer.due + Math.max(1, timer.every) });
      timer.callback(...timer.args);
    }
    this.#now = until;
  }

  /** Restores real time. */
  restore(): void {
    Object.assign(globalThis, this.#real);
  }

  /** Restores real time. */
  [Symbol.dispose](): void {
    this.restore();
  }

  /** The timer that is due first, of several the one that was set first. */
  #next(until: number): [id: number, timer: Timer] | undefined {
    const due = [...this.#timers].filter(([, timer]) => timer.due <= until);
    return due.toSorted(([a, one], [b, other]) => one.due - other.due || a - b)[0];
  }
}
