/**
 * Stands in for `@std/testing/time` in development, where JSR may be out of reach. Not built on `node:test`'s mock
 * timers: while those tick over several timers, `Date.now()` differs between runtimes.
 *
 * @module
 */

/** Thrown when time is faked twice, or restored when it is not faked. */
export class TimeError extends Error {
  override readonly name = "TimeError";
}

/** Options of {@link FakeTime}. */
export interface FakeTimeOptions {
  /** Fake ms per real ms; 0: time stands still between ticks. */
  advanceRate: number;
  /** Real ms from one automatic tick to the next; 10. */
  advanceFrequency?: number;
}

/** Options of {@link FakeTime.delay}. */
export interface DelayOptions {
  /** Ends the wait early with an `AbortError`. */
  signal?: AbortSignal;
}

interface Timer {
  due: number;
  readonly callback: (...args: unknown[]) => unknown;
  readonly args: unknown[];
  /** ms between calls; undefined: once. */
  readonly every?: number | undefined;
}

const real = {
  Date: globalThis.Date,
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  signalTimeout: AbortSignal.timeout,
};

// The globals that it replaces exist once in a process, and so does this.
let active: FakeTime | undefined;

/**
 * Replaces `Date`, timers and `AbortSignal.timeout` by virtual ones, which move only by its methods, until it is
 * disposed of.
 */
export class FakeTime {
  /** When the fake time began, in ms since 1970. */
  readonly start: number;
  #now: number;
  #lastId = 0;
  readonly #timers = new Map<number, Timer>();
  readonly #ticking: ReturnType<typeof setInterval> | undefined;

  /** Fakes time from `start` on, by default from the present. */
  constructor(start?: number | string | Date | null, options?: FakeTimeOptions) {
    if (active) throw new TimeError("Cannot construct FakeTime: time is already faked");
    this.start = start === undefined || start === null ? Date.now() : Math.floor(new Date(start).valueOf());
    if (Number.isNaN(this.start)) throw new TypeError(`Cannot construct FakeTime: invalid start time ${start}`);
    this.#now = this.start;
    const rate = Math.max(0, options?.advanceRate ?? 0);
    const frequency = Math.max(0, options?.advanceFrequency ?? 10);
    if (rate > 0) this.#ticking = real.setInterval(() => this.tick(rate * frequency), frequency);
    active = this;
    this.#override();
  }

  /** Restores real time. */
  static restore(): void {
    if (!active) throw new TimeError("Cannot restore time: time is already restored");
    active.restore();
  }

  /** Restores real time while the callback runs. */
  static async restoreFor<T, A extends unknown[]>(callback: (...args: A) => Promise<T> | T, ...args: A): Promise<T> {
    if (!active) throw new TimeError("Cannot restore time: time is not faked");
    const time = active;
    putBack();
    try {
      return await callback(...args);
    } finally {
      time.#override();
    }
  }

  /** The fake time, in ms since 1970; setting it runs what falls due, each timer at its own time. */
  get now(): number {
    return this.#now;
  }
  set now(value: number) {
    if (value < this.#now) {
      throw new RangeError(
        `Cannot set current time in the past, time must be >= ${this.#now}: received ${value}`,
      );
    }
    for (let id = this.#earliest(value); id !== undefined; id = this.#earliest(value)) this.#run(id);
    this.#now = value;
  }

  /** Waits for real ms. */
  delay(ms: number, options: DelayOptions = {}): Promise<void> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      const aborted = () => {
        real.clearTimeout(timer);
        reject(new DOMException("Delay was aborted.", "AbortError"));
      };
      const timer = real.setTimeout(() => {
        signal?.removeEventListener("abort", aborted);
        resolve();
      }, ms);
      if (signal?.aborted) aborted();
      else signal?.addEventListener("abort", aborted, { once: true });
    });
  }

  /** Lets what is pending in the event loop run. */
  async runMicrotasks(): Promise<void> {
    await this.delay(0);
  }

  /** Moves time on by `ms`. */
  tick(ms = 0): void {
    this.now += ms;
  }

  /** Lets what is pending run, then moves time on by `ms`. */
  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    this.now += ms;
  }

  /** Moves time on to the next timer; returns whether there was one. */
  next(): boolean {
    const id = this.#earliest(Infinity);
    if (id !== undefined) this.now = this.#timers.get(id)!.due;
    return id !== undefined;
  }

  /** Lets what is pending run, then moves time on to the next timer. */
  async nextAsync(): Promise<boolean> {
    await this.runMicrotasks();
    return this.next();
  }

  /** Moves time on until no timer is left. */
  runAll(): void {
    while (this.next());
  }

  /** Lets what is pending run, and moves time on, until no timer is left. */
  async runAllAsync(): Promise<void> {
    while (await this.nextAsync());
  }

  /** Restores real time. */
  restore(): void {
    if (active !== this) throw new TimeError("Cannot restore time: time is already restored");
    active = undefined;
    putBack();
    real.clearInterval(this.#ticking);
  }

  /** Restores real time. */
  [Symbol.dispose](): void {
    this.restore();
  }

  #override(): void {
    const now = () => this.#now;
    const clear = (id?: unknown) => void this.#timers.delete(id as number);
    const set = (callback: unknown, ms: number, every: number | undefined, args: unknown[]): number => {
      if (typeof callback !== "function") throw new TimeError("FakeTime does not support non-function callbacks");
      const due = this.#now + Math.max(every === undefined ? 0 : 1, Math.floor(ms));
      this.#timers.set(++this.#lastId, { due, callback: callback as Timer["callback"], args, every });
      return this.#lastId;
    };
    const fakes = {
      Date: new Proxy(real.Date, {
        construct: (target, args, self) => Reflect.construct(target, args.length ? args : [this.#now], self),
        apply: () => new real.Date(this.#now).toString(),
        get: (target, name, self) => name === "now" ? now : Reflect.get(target, name, self),
      }),
      setTimeout: (callback: unknown, ms = 0, ...args: unknown[]) => set(callback, ms, undefined, args),
      setInterval: (callback: unknown, ms = 0, ...args: unknown[]) =>
        set(callback, ms, Math.max(1, Math.floor(ms)), args),
      clearTimeout: clear,
      clearInterval: clear,
    };
    Object.assign(globalThis, fakes);
    AbortSignal.timeout = (ms) => {
      const controller = new AbortController();
      set(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms, undefined, []);
      return controller.signal;
    };
  }

  #earliest(until: number): number | undefined {
    let found: number | undefined;
    let due = until;
    for (const [id, timer] of this.#timers) {
      // of timers due at the same time the one that was set first runs first; an interval counts anew from each call
      if (timer.due < due || (timer.due === due && found === undefined)) [found, due] = [id, timer.due];
    }
    return found;
  }

  #run(id: number): void {
    const timer = this.#timers.get(id)!;
    this.#now = Math.max(this.#now, timer.due);
    this.#timers.delete(id);
    if (timer.every !== undefined) this.#timers.set(id, { ...timer, due: timer.due + timer.every });
    timer.callback(...timer.args);
  }
}

function putBack(): void {
  const { signalTimeout, ...globals } = real;
  Object.assign(globalThis, globals);
  AbortSignal.timeout = signalTimeout;
}
