/**
 * Time and randomness. All code of Catga gets them from its network, so that a test can run a whole cluster on virtual
 * time and from one seed.
 */
import timers from "node:timers";
import { performance } from "node:perf_hooks";
import { checkBoolean, checkFunction, checkKnown, checkNumber, checkSignal, MAX_TIMEOUT } from "../data/checks.ts";

/** The clock of an app: time and timers. */
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
  /** Calls `callback` in a later turn of the event loop, without delay, in the order of the calls. */
  soon(callback: () => void): void;
}

/**
 * The clock of an app, for a program's own timers: in a test on virtual time, these timers run on virtual time, too.
 */
export interface AppClock extends Clock {
  /**
   * Resolves after `ms` (0 to 2^31 - 1); rejects with the signal's reason when that aborts first. `ctx.clock.sleep`
   * also rejects with the reason of `ctx.signal` when that aborts, without being given it. Rejects with a `RangeError`
   * for other numbers, and with a `TypeError` for other values.
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

/** A moment, by both clocks. */
export interface Stamp {
  readonly wall: number;
  readonly monotonic: number;
}

/** Returns the present moment by both clocks. */
export function stamp(clock: Clock): Stamp {
  return { wall: clock.now(), monotonic: clock.monotonic() };
}

/**
 * Returns the time since a moment, in ms, by the clock that is further on: the wall clock after the machine slept, the
 * monotonic clock after the wall clock was set back.
 */
export function elapsed(clock: Clock, since: Stamp): number {
  return Math.max(clock.now() - since.wall, clock.monotonic() - since.monotonic);
}

/** A timer of {@link Clock.after}. */
export interface Timer {
  /** Cancels the timer; nothing happens when it has fired already. */
  cancel(): void;
}

/** A source of random numbers in [0, 1). */
export type Random = () => number;

// Bound when this module is loaded: fake timers of a test library replace some of them, and two different clocks would
// end deadlines that have just begun.
const { clearTimeout, setImmediate: immediate, setTimeout: timeout } = timers;
const { Date: ownDate, setTimeout: ownTimeout } = globalThis;

/**
 * Throws a `TypeError` while a test library fakes the time of the process by replacing its globals, which {@link
 * systemClock} would not notice.
 */
export function refuseFakeTimers(): void {
  if (globalThis.Date === ownDate || globalThis.setTimeout === ownTimeout) return;
  throw new TypeError(
    "fake timers have replaced Date and setTimeout, and Catga does not follow them: test with virtual time (testCluster, " +
      "or new MemoryNetwork({ clock: new VirtualClock() }) as the network), or start the app before the fake timers are set",
  );
}

/** The time of this machine. */
export const systemClock: Clock = Object.freeze({
  now: () => ownDate.now(),
  monotonic: () => performance.now(),
  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer {
    // time passes between reading the clock and this call: runtimes warn on stderr of negative delays
    const timer = timeout(callback, Math.max(0, Math.min(ms, MAX_TIMEOUT)));
    if (options?.background) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  soon(callback: () => void): void {
    immediate(callback);
  },
});

/** A clock whose waits end early when its node has ended: `ending_clock.ts`. */
export interface ClockWithEnd extends Clock {
  /** Calls `callback` once, `ms` from now or at the end of the node, whichever comes first. */
  afterOrAtEnd(ms: number, callback: () => void): Timer;
}

/** Calls `callback` once, `ms` from now or, on a {@link ClockWithEnd}, at its end. */
export function afterOrAtEnd(clock: Clock | ClockWithEnd, ms: number, callback: () => void): Timer {
  return "afterOrAtEnd" in clock ? clock.afterOrAtEnd(ms, callback) : clock.after(ms, callback);
}

/**
 * Like {@link Clock.soon}, for many callbacks: those of one turn run in the same later turn, so that the messages they
 * send are one write.
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
          // the other callbacks still run
          clock.soon(() => {
            throw error;
          });
        }
      }
    });
  };
}

/** Makes a clock for programs: it checks its arguments, and its sleeps end with the signal of a `run`. */
export function appClock(clock: Clock, run?: { readonly signal: AbortSignal }): AppClock {
  const own = clock === systemClock; // its methods need no `this`
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

/** Throws a `TypeError` or `RangeError` for invalid arguments of {@link AppClock.after}. */
export function checkTimer(ms: number, callback: () => void, options?: { background?: boolean | undefined }): void {
  checkNumber("clock.after: ms", ms, 0, Infinity, "ms");
  checkFunction("clock.after: callback", callback);
  if (options === undefined) return;
  checkKnown("clock.after", options, TIMER_OPTIONS);
  if (options.background !== undefined) checkBoolean("clock.after: background", options.background);
}

const TIMER_OPTIONS = new Set(["background"]);

/** Returns a source of random numbers from the operating system, fetched 256 at a time. */
export function systemRandom(): Random {
  const drawn = new Uint32Array(512);
  let next = drawn.length;
  return () => {
    if (next === drawn.length) {
      crypto.getRandomValues(drawn);
      next = 0;
    }
    // 53 bits, as in Math.random
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
 * Resolves after `ms`, or at the end of a {@link ClockWithEnd}; rejects with the signal's reason when that aborts
 * first.
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
 * Calls `callback` once when the signal aborts, at once if it has aborted; never without a signal. Returns a function
 * that removes the listener.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal?.aborted) callback();
  else signal?.addEventListener("abort", callback, { once: true });
  return () => signal?.removeEventListener("abort", callback);
}

/** Resolves when the signal aborts; never without one. */
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
 * Returns a pause, or the limit of an attempt, in ms: `first` after no failure, doubled by each failure, at most
 * `longest`.
 */
export function doubled(failures: number, first: number, longest: number): number {
  return Math.min(longest, first * 2 ** failures);
}

/**
 * Returns a pause with equal jitter: random, from half of it to all of it. For operations that must not be repeated at
 * once.
 */
export function jittered(random: Random, pause: number): number {
  return pause * (0.5 + random() / 2);
}

/**
 * Settles as the promise does, or resolves after `ms` (0 when that is less) or at the end of a {@link ClockWithEnd},
 * while the promise stays pending.
 */
export function within(clock: Clock, ms: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = afterOrAtEnd(clock, Math.max(0, ms), resolve);
    promise.then(() => resolve(), reject).finally(() => timer.cancel());
  });
}
