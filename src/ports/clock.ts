/**
 * Time and randomness. Everything in Catga takes them from its network, so that a test can run a whole cluster on
 * virtual time and from one seed.
 */
import timers from "node:timers";
import { performance } from "node:perf_hooks";
import { checkBoolean, checkFunction, checkKnown, checkNumber, checkSignal, MAX_TIMEOUT } from "../data/checks.ts";
import { outside } from "../data/async_context.ts";
import type { CatgaError } from "../error.ts";

/** The clock that an app reads and sets its timers on. */
export interface Clock {
  /** The wall clock, in ms since 1970. May jump. */
  now(): number;
  /** A clock that never goes back, in ms since an arbitrary moment. */
  monotonic(): number;
  /**
   * Calls back once, `ms` from now (0 or more), never within this call. A `background` timer does not keep the process
   * alive.
   */
  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer;
  /** Calls back in a later turn of the event loop, without delay, in the order of the calls. */
  soon(callback: () => void): void;
}

/** The clock of an app, for a program's own timers: on a test's virtual time they pass as everything else does. */
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

/** Now. */
export function stamp(clock: Clock): Stamp {
  return { wall: clock.now(), monotonic: clock.monotonic() };
}

/**
 * Ms since a moment: by the wall clock after the machine slept, by the monotonic one after the wall clock was set back.
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

// Bound as this module is loaded: fake timers of a test library put others into the place of some of them, and clocks
// that go apart would end what has just begun.
const { clearTimeout, setImmediate: immediate, setTimeout: timeout } = timers;
const { Date: ownDate, setTimeout: ownTimeout } = globalThis;

/**
 * Throws a `TypeError` while a test library fakes the time of the process by replacing its globals: {@link systemClock}
 * does not follow.
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
    // time passes between reading the clock and this call: runtimes warn on stderr of what is below 0
    const timer = timeout(callback, Math.max(0, Math.min(ms, MAX_TIMEOUT)));
    if (options?.background) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  soon(callback: () => void): void {
    immediate(callback);
  },
});

/**
 * Another clock, for the work of one node: when the node has ended, so have its timers. {@link EndingClock.end} cancels
 * background timers, and none is set afterwards; a {@link delay} or {@link within} ends at once, because its caller
 * finds that everything is closed. Other timers are left to whoever waits for them.
 */
export class EndingClock implements Clock {
  readonly #clock: Clock;
  readonly #background = new Set<Timer>();
  readonly #waits = new Set<() => void>();
  #ended = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  soon(callback: () => void): void {
    this.#clock.soon(callback);
  }

  after(ms: number, callback: () => void, options?: { background?: boolean | undefined }): Timer {
    if (!options?.background) return this.#clock.after(ms, callback, options);
    if (this.#ended) return NO_TIMER;
    const timer = this.#clock.after(ms, () => {
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

  /** Calls back once, `ms` from now or at the end, whichever comes first. */
  afterOrAtEnd(ms: number, callback: () => void): Timer {
    const timer = this.#clock.after(ms, () => {
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

  /** Ends the timers of the node. */
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

/** Calls back once after `ms`, or at the end of a clock that has one. */
export function afterOrAtEnd(clock: Clock | EndingClock, ms: number, callback: () => void): Timer {
  return "afterOrAtEnd" in clock ? clock.afterOrAtEnd(ms, callback) : clock.after(ms, callback);
}

/**
 * Like {@link Clock.soon}, for many: the callbacks of one turn run in the same later turn, so that what they send is
 * one write.
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
          // the others go on
          clock.soon(() => {
            throw error;
          });
        }
      }
    });
  };
}

/** A clock for programs: it checks what it is given, and its sleeps end with the signal of a `run`. */
export function appClock(clock: Clock, run?: { readonly signal: AbortSignal }): AppClock {
  const own = clock === systemClock; // whose methods need no `this`
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

/** Random numbers from the operating system, drawn 256 at a time. */
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

/** A random token of `length` letters and digits (5.95 bits each), valid in a NATS subject. */
export function token(random: Random, length: number): string {
  let made = "";
  for (let i = 0; i < length; i++) made += ALPHABET[Math.floor(random() * ALPHABET.length)];
  return made;
}

/**
 * Resolves after `ms`, or at the end of an {@link EndingClock}; rejects with the signal's reason when that aborts
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
 * Calls back once when the signal aborts, at once if it has; never without one. Returns a function that ends that.
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
 * The pause before what has failed is tried again, in ms: exponential backoff with full jitter, at most `first` after
 * the first failure and `longest` after many. `failures`: those before the last one.
 */
export function backoff(random: Random, failures: number, first: number, longest: number): number {
  return random() * Math.min(longest, first * 2 ** failures);
}

/** A pause with equal jitter: at least half of it, for what must not be tried again at once. */
export function jittered(random: Random, pause: number): number {
  return pause * (0.5 + random() / 2);
}

/**
 * Settles as the promise does, or resolves after `ms` (0 when that is less) or at the end of an {@link EndingClock},
 * while the promise stays pending.
 */
export function within(clock: Clock, ms: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = afterOrAtEnd(clock, Math.max(0, ms), resolve);
    promise.then(() => resolve(), reject).finally(() => timer.cancel());
  });
}

// What lasts for a while: how much of it there is, and when it was reported.

/** A function that returns the one of its kind, opening it if that has not succeeded yet: a failure is not kept. */
export function openOnce<T>(open: () => Promise<T>): () => Promise<T> {
  let opening: Promise<T> | undefined;
  return () =>
    // in no async context: what is opened serves all who need it
    opening ??= outside(open).catch((error) => {
      opening = undefined;
      throw error;
    });
}

/** A count of what is under way, which a drain waits for. */
export class UnderWay {
  #count = 0;
  #ended: (() => void) | undefined;

  get count(): number {
    return this.#count;
  }

  begin(): void {
    this.#count++;
  }

  end(): void {
    if (--this.#count === 0) this.#ended?.();
  }

  /** Resolves when nothing is under way any more, or at `until`, by the monotonic clock. */
  async none(clock: Clock, until: number): Promise<void> {
    // again when a caller begins the next as soon as its last one has ended
    while (this.#count > 0 && clock.monotonic() < until) {
      await within(clock, until - clock.monotonic(), new Promise<void>((resolve) => this.#ended = resolve));
    }
    this.#ended = undefined;
  }
}

/** Lets a report through at once, and the next one about the same a minute later at the earliest, or another time. */
export class OnceAMinute {
  readonly #clock: Pick<Clock, "monotonic">;
  /** When each was let through, by the monotonic clock. */
  readonly #at = new Map<string, number>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Returns whether to report it now; `every`: after so many ms again. */
  due(about = "", every = 60_000): boolean {
    const now = this.#clock.monotonic();
    if (now - (this.#at.get(about) ?? -Infinity) < every) return false;
    if (this.#at.size >= MOST_REPORTED) this.#at.clear();
    this.#at.set(about, now);
    return true;
  }
}

const MOST_REPORTED = 256;

// Notices that this process stood still: its machine or a debugger paused it, or a computation blocked its event loop.
// After that, what it knew of other processes may be out of date, and messages that came before wait in its sockets.

/** Watches one process. */
export class Standstill {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #over: () => boolean;
  #looked: Stamp;
  #ended = -Infinity;
  #timer: Timer | undefined;
  #closed = false;

  /** Notices standstills of more than `limit` ms, until `over()`. */
  constructor(clock: Clock, limit: number, over: () => boolean) {
    this.#clock = clock;
    this.#limit = limit;
    this.#over = over;
    this.#looked = stamp(clock);
    this.#later();
  }

  /**
   * When the last one ended, by the monotonic clock; `-Infinity`: there was none. One that no timer has noticed yet
   * ends now.
   */
  get ended(): number {
    // read for each message: a clock that has not moved since says that nothing has happened
    if (this.#clock.now() === this.#looked.wall) return this.#ended;
    if (elapsed(this.#clock, this.#looked) > this.#limit) this.#ended = this.#clock.monotonic();
    this.#looked = stamp(this.#clock);
    return this.#ended;
  }

  /** When it last looked for one, by the monotonic clock. */
  get looked(): number {
    return this.#looked.monotonic;
  }

  /** Stops watching: no timer is left. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #later(): void {
    this.#timer = this.#clock.after(this.#limit / 4, () => {
      if (this.#closed || this.#over()) return;
      void this.ended;
      this.#later();
    }, { background: true });
  }
}

// The deadlines of all messages under way, in one timing wheel (Varghese and Lauck, 1987) of intrusive, doubly linked
// lists: 5–13 ns to add and remove one, against 100–1,270 ns for a timer each (measured).
//
// A paused process settles nothing. When it resumes, all deadlines that passed meanwhile expire in the first tick; the
// process reads messages that arrived meanwhile before that tick or after it (measured: Deno runs timers first, Bun
// reads first). So a send whose deadline passed in the pause ends at once, with the answer that had arrived or with the
// deadline's error; both are true.

/** An entry with a deadline; the wheel links it into its lists. */
export abstract class Deadlined {
  /** When, in ms of the monotonic clock. */
  due: number;
  /** @internal The bucket's list; `undefined` outside of one. */
  wheelNext: Deadlined | undefined = undefined;
  /** @internal */
  wheelPrevious: Deadlined | undefined = undefined;
  /** @internal The bucket that it stands in, or -1. */
  wheelBucket = -1;

  constructor(due: number) {
    this.due = due;
  }

  /**
   * Called once, when the deadline has passed and it has left the wheel. Must not throw, even if another entry of the
   * same tick has just settled it.
   */
  abstract expire(): void;

  /** Ends it before its deadline, for `reason`. Must not throw. */
  abstract abort(reason: CatgaError): void;
}

/** A timing wheel. It ticks only while it has entries. */
export class DeadlineWheel {
  readonly #clock: Clock;
  readonly #buckets: (Deadlined | undefined)[] = new Array(BUCKETS).fill(undefined);
  #size = 0;
  /** The first tick that has not been processed. */
  #tick = 0;
  #timer: Timer | undefined;
  /** The clocks when they were last read. */
  #wall = -1;
  #monotonic = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Number of its entries. */
  get size(): number {
    return this.#size;
  }

  /**
   * The monotonic clock in whole ms, read once in each ms of the wall clock: exact enough for deadlines. In Deno the
   * monotonic clock takes 80 ns, the wall clock 40 ns (measured); a whole number needs no memory.
   */
  now(): number {
    const wall = this.#clock.now();
    if (wall !== this.#wall || this.#timer === undefined) {
      this.#wall = wall;
      this.#monotonic = Math.ceil(this.#clock.monotonic());
    }
    return this.#monotonic;
  }

  /** Adds an entry, which must not be in the wheel. */
  add(entry: Deadlined): void {
    if (this.#timer === undefined) this.#start();
    // a deadline that has passed expires in the next tick
    const bucket = Math.max(Math.ceil(entry.due / TICK), this.#tick) % BUCKETS;
    const first = this.#buckets[bucket];
    entry.wheelBucket = bucket;
    entry.wheelNext = first;
    if (first !== undefined) first.wheelPrevious = entry;
    this.#buckets[bucket] = entry;
    this.#size++;
  }

  /** Removes an entry; nothing happens if it is not in the wheel. */
  delete(entry: Deadlined): void {
    if (entry.wheelBucket < 0) return;
    const { wheelNext: next, wheelPrevious: previous } = entry;
    if (next !== undefined) next.wheelPrevious = previous;
    if (previous !== undefined) previous.wheelNext = next;
    else this.#buckets[entry.wheelBucket] = next;
    entry.wheelNext = entry.wheelPrevious = undefined;
    entry.wheelBucket = -1;
    this.#size--;
  }

  /** Removes all entries and aborts them for `reason`. */
  abort(reason: CatgaError): void {
    const all: Deadlined[] = [];
    for (let bucket = 0; bucket < BUCKETS && this.#size > 0; bucket++) {
      for (let entry = this.#buckets[bucket]; entry !== undefined; entry = this.#buckets[bucket]) {
        this.delete(entry);
        all.push(entry);
      }
    }
    for (const entry of all) entry.abort(reason);
  }

  /** Cancels the timer of a wheel without entries, which it keeps for the next one. */
  rest(): void {
    if (this.#size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #start(): void {
    this.#tick = Math.floor(this.#clock.monotonic() / TICK);
    this.#arm();
  }

  #arm(): void {
    this.#timer = this.#clock.after(TICK, () => {
      outside(() => this.#process());
      if (this.#size > 0) this.#arm();
      else this.#timer = undefined;
    });
  }

  #process(): void {
    this.#wall = -1; // now() must move even while the wall clock stands still
    const now = this.#clock.monotonic();
    const end = Math.floor(now / TICK);
    const due: Deadlined[] = [];
    // after a pause longer than a whole revolution, one pass over every bucket is enough
    for (let tick = Math.max(this.#tick, end - BUCKETS + 1); tick <= end; tick++) {
      let entry = this.#buckets[tick % BUCKETS];
      while (entry !== undefined) {
        const next: Deadlined | undefined = entry.wheelNext;
        if (entry.due <= now) {
          this.delete(entry);
          due.push(entry);
        }
        entry = next;
      }
    }
    this.#tick = end + 1;
    for (const entry of due) entry.expire();
  }
}

const TICK = 10; // ms
const BUCKETS = 4_096; // 41 s a revolution; a later deadline stays in its bucket for another one
