/**
 * Time and randomness. All code of Catga gets them from its network, so that a test can run a whole cluster on virtual
 * time and from one seed.
 */
import timers from "node:timers";
import { performance } from "node:perf_hooks";
import { checkBoolean, checkFunction, checkKnown, checkNumber, checkSignal, MAX_TIMEOUT } from "../data/checks.ts";

/** A clock of an app: the time, and timers. */
export interface Clock {
  /** The wall clock, in ms since 1970. May jump. */
  now(): number;
  /** A clock that never goes back, in ms since an arbitrary moment. */
  monotonic(): number;
  /**
   * Calls `callback` once, `ms` from now (0 or more), never within this call. A `background` timer does not keep the
   * process alive.
   */
  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer;
  /** Calls `callback` in a later turn of the event loop, without delay, in the order of the calls of `soon`. */
  soon(callback: () => void): void;
}

/**
 * The clock of an app, for a program's own timers: in a test on virtual time, these timers run on virtual time, too.
 */
export interface AppClock extends Clock {
  /**
   * Resolves after `ms` (0 to 2^31 - 1); rejects with the signal's reason if the signal aborts first. `ctx.clock.sleep`
   * also rejects when `ctx.signal` aborts, which need not be passed. Rejects with a `RangeError` if `ms` is out of
   * range, and with a `TypeError` if `ms` is no number, or `signal` no `AbortSignal`.
   *
   * @example
   * ```ts
   * import { catga, command, unwrap } from "@catga/catga";
   *
   * const Brew = command<{ tea: string }, string>("Brew");
   * const brew = Brew.handle(async ({ tea }, ctx) => {
   *   await ctx.clock.sleep(20); // ends when the sender gives up
   *   return `a cup of ${tea}`;
   * });
   * await using app = await catga({ handlers: brew });
   * console.log(unwrap(await app.send(Brew, { tea: "assam" }))); // a cup of assam
   * ```
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** A moment in time, by the wall clock and by the monotonic clock. */
export interface Stamp {
  readonly wall: number;
  readonly monotonic: number;
}

/** A moment before every other. */
export const LONG_AGO: Stamp = { wall: -Infinity, monotonic: -Infinity };

/** Returns the present moment, by the wall clock and by the monotonic clock. */
export function stamp(clock: Clock): Stamp {
  return { wall: clock.now(), monotonic: clock.monotonic() };
}

/**
 * Returns the time since a moment, in ms, by whichever clock has advanced more: the wall clock after the machine slept,
 * the monotonic clock after the wall clock was set back.
 */
export function elapsed(clock: Clock, since: Stamp): number {
  return between(since, stamp(clock));
}

/** Returns the time between two moments, as {@link elapsed} does, without reading the clocks again. */
export function between(since: Stamp, now: Stamp): number {
  return Math.max(now.wall - since.wall, now.monotonic - since.monotonic);
}

/** A timer that {@link Clock.after} has set: its callback runs after a time, unless the timer is cancelled. */
export interface Timer {
  /** Cancels the timer; does nothing if it has fired already. */
  cancel(): void;
}

/** A source of random numbers in [0, 1). */
export type Random = () => number;

// Timer functions, taken when this module is loaded. A test library may replace some of them by fake timers later: the
// functions would then follow different clocks, and deadlines would end as soon as they begin.
const { clearTimeout, setImmediate: immediate, setTimeout: timeout } = timers;
const { Date: ownDate, setTimeout: ownTimeout } = globalThis;

/**
 * Throws a `TypeError` while a test library fakes the time of the process by replacing its globals; {@link systemClock}
 * would not notice that.
 * @decides an app refuses to start on a runtime's or a test tool's fake timers
 */
export function refuseFakeTimers(): void {
  if (globalThis.Date === ownDate || globalThis.setTimeout === ownTimeout) return;
  throw new TypeError(
    "fake timers have replaced Date and setTimeout, and Catga does not follow them: test with virtual time (testCluster, " +
      "or new MemoryNetwork({ clock: new VirtualClock() }) as the network), or start the app before the fake timers are set",
  );
}

/** The clock of this machine. */
export const systemClock: Clock = Object.freeze({
  now: () => ownDate.now(),
  monotonic: () => performance.now(),
  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer {
    // `Math.max` because time passes between reading the clock and this call, and runtimes warn on stderr of negative
    // delays
    const timer = timeout(callback, Math.max(0, Math.min(ms, MAX_TIMEOUT)));
    if (options?.background) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  soon(callback: () => void): void {
    immediate(callback);
  },
});

/** A clock that ends with its node: waits that use it then end early (`EndingClock`). */
export interface ClockWithEnd extends Clock {
  /** Calls `callback` once: after `ms`, or when the node ends, whichever comes first. */
  afterOrAtEnd(ms: number, callback: () => void): Timer;
}

/** Calls `callback` once: after `ms`, or, on a {@link ClockWithEnd}, when its node ends, whichever comes first. */
export function afterOrAtEnd(clock: Clock | ClockWithEnd, ms: number, callback: () => void): Timer {
  return "afterOrAtEnd" in clock ? clock.afterOrAtEnd(ms, callback) : clock.after(ms, callback);
}

/**
 * Returns a function that calls its argument in a later turn of the event loop, for many callbacks: all callbacks of
 * one turn of the event loop run in the same later turn, so that the messages that they send are one write.
 */
export function together(clock: Clock): (callback: () => void) => void {
  let waiting: (() => void)[] = [];
  return (callback) => {
    if (waiting.push(callback) > 1) return;
    clock.soon(() => {
      const callbacks = waiting;
      waiting = [];
      for (const each of callbacks) {
        try {
          each();
        } catch (error) {
          // if a callback throws, the callbacks after it still run
          clock.soon(() => {
            throw error;
          });
        }
      }
    });
  };
}

/**
 * Makes a clock for programs from `clock`: it checks its arguments, and its `sleep` also ends when the signal of `run`
 * aborts.
 */
export function appClock(clock: Clock, run?: { readonly signal: AbortSignal }): AppClock {
  const own = clock === systemClock; // safe, because its methods need no `this`
  return {
    now: own ? clock.now : () => clock.now(),
    monotonic: own ? clock.monotonic : () => clock.monotonic(),
    after: (ms, callback, options) => {
      checkTimer(ms, callback, options);
      return clock.after(ms, callback, options);
    },
    soon: (callback) => {
      checkFunction("clock.soon: callback", callback);
      clock.soon(callback);
    },
    sleep: async (ms, signal) => {
      checkNumber("sleep: ms", ms, 0, MAX_TIMEOUT, "ms");
      checkSignal("sleep", signal);
      const all = [run?.signal, signal].filter((one) => one !== undefined);
      await delay(clock, ms, all.length > 1 ? AbortSignal.any(all) : all[0]);
    },
  };
}

/** Throws a `TypeError` or `RangeError` if the arguments of `clock.after` are invalid. */
export function checkTimer(ms: number, callback: () => void, options?: { background?: boolean | undefined }): void {
  checkNumber("clock.after: ms", ms, 0, Infinity, "ms");
  checkFunction("clock.after: callback", callback);
  if (options === undefined) return;
  checkKnown("clock.after", options, TIMER_OPTIONS);
  if (options.background !== undefined) checkBoolean("clock.after: background", options.background);
}

const TIMER_OPTIONS = new Set(["background"]);

/** Returns a source of random numbers that come from the operating system, 256 at a time. */
export function systemRandom(): Random {
  const drawn = new Uint32Array(512);
  let next = drawn.length;
  return () => {
    if (next === drawn.length) {
      crypto.getRandomValues(drawn);
      next = 0;
    }
    // 53 random bits, as in Math.random
    return ((drawn[next++] >>> 5) * 67_108_864 + (drawn[next++] >>> 6)) / 9_007_199_254_740_992;
  };
}

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Returns a random token of `length` letters and digits (5.95 bits each), valid in a NATS subject. */
export function token(random: Random, length: number): string {
  let made = "";
  for (let i = 0; i < length; i++) made += ALPHABET[Math.floor(random() * ALPHABET.length)];
  return made;
}

/**
 * Resolves after `ms`, or when the node of a {@link ClockWithEnd} ends; rejects with the signal's reason if the signal
 * aborts first.
 */
export function delay(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = afterOrAtEnd(clock, ms, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    const abort = () => {
      timer.cancel();
      reject(signal!.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * Calls `callback` once when the signal aborts, or at once if it has aborted; never if there is no signal. Returns a
 * function that removes the listener.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal?.aborted) callback();
  else signal?.addEventListener("abort", callback, { once: true });
  return () => signal?.removeEventListener("abort", callback);
}

/** Resolves when the signal aborts; never if there is no signal. */
export function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => void onAbort(signal, () => resolve()));
}

/**
 * Returns the pause before the next attempt, in ms: exponential backoff with full jitter, at most `first` after the
 * first failure and `longest` after many. `failures`: number of failures before the last one.
 */
export function backoff(random: Random, failures: number, first: number, longest: number): number {
  return random() * doubled(failures, first, longest);
}

/**
 * Returns a pause, or the timeout of an attempt, in ms: `first` after no failure, doubled by each failure, at most
 * `longest`.
 */
export function doubled(failures: number, first: number, longest: number): number {
  return Math.min(longest, first * 2 ** failures);
}

/**
 * Returns a random pause, in ms: from half of `pause` to all of it (equal jitter). For operations that must not be
 * repeated at once.
 */
export function jittered(random: Random, pause: number): number {
  return pause * (0.5 + random() / 2);
}

/**
 * Settles as the promise does; resolves earlier if `ms` have passed, or the node of a {@link ClockWithEnd} ends, while
 * the promise is pending.
 */
export function within(clock: Clock, ms: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = afterOrAtEnd(clock, Math.max(0, ms), resolve);
    promise.then(() => resolve(), reject).finally(() => timer.cancel());
  });
}

/** Settles as {@link within} does: with the value of the promise, or with `undefined` while the promise is pending. */
export async function valueWithin<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  let value: T | undefined;
  await within(clock, ms, promise.then((settled) => value = settled));
  return value;
}

/** A clock that has the time of another clock. */
export abstract class OverClock implements Clock {
  /** The other clock, which has the time. */
  protected readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  now(): number {
    return this.clock.now();
  }

  monotonic(): number {
    return this.clock.monotonic();
  }

  soon(callback: () => void): void {
    this.clock.soon(callback);
  }

  abstract after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer;
}

/**
 * A clock for one node, with the time of another clock. When the node ends, {@link EndingClock.end} cancels the
 * background timers, and no further background timer is set; a `delay` or `within` ends at once, because its caller
 * then finds everything closed. Other timers continue.
 */
export class EndingClock extends OverClock implements ClockWithEnd {
  readonly #background = new Set<Timer>();
  readonly #waits = new Set<() => void>();
  #ended = false;

  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer {
    if (!options?.background) return this.clock.after(ms, callback, options);
    if (this.#ended) return NO_TIMER;
    const timer = this.clock.after(ms, () => {
      this.#background.delete(timer);
      callback();
    }, options);
    this.#background.add(timer);
    return {
      cancel: () => {
        this.#background.delete(timer);
        timer.cancel();
      },
    };
  }

  afterOrAtEnd(ms: number, callback: () => void): Timer {
    const timer = this.clock.after(ms, () => {
      this.#waits.delete(atEnd);
      callback();
    });
    const atEnd = () => {
      timer.cancel();
      callback();
    };
    this.#waits.add(atEnd);
    return {
      cancel: () => {
        this.#waits.delete(atEnd);
        timer.cancel();
      },
    };
  }

  /** Ends the timers of the node: cancels background timers, and ends waits. */
  end(): void {
    this.#ended = true;
    for (const timer of this.#background) timer.cancel();
    this.#background.clear();
    const waits = [...this.#waits];
    this.#waits.clear();
    for (const atEnd of waits) atEnd();
  }
}

const NO_TIMER: Timer = { cancel: () => {} };

/**
 * Lets a report through at once, and the next report with the same key not before a minute (or another interval) has
 * passed.
 */
export class OnceAMinute {
  readonly #clock: Pick<Clock, "monotonic">;
  /** By key: time of the last report that was let through, by the monotonic clock. */
  readonly #at = new Map<string, number>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /**
   * Returns true if a report with this key may be made now; then the interval to the next report begins. `every`:
   * minimum interval between two reports, in ms.
   */
  due(about = "", every = 60_000): boolean {
    const now = this.#clock.monotonic();
    if (now - (this.#at.get(about) ?? -Infinity) < every) return false;
    if (this.#at.size >= MAX_REPORTED) this.#at.clear();
    this.#at.set(about, now);
    return true;
  }
}

const MAX_REPORTED = 256;

/**
 * Returns the date of a time in ms since 1970; the latest possible date for a later time.
 * @decides a number of ms that somebody else wrote becomes a date that is always valid
 */
export function dateOf(ms: number): Date {
  return new Date(Math.min(ms, LATEST_DATE));
}

const LATEST_DATE = 8.64e15;
