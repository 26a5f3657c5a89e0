/**
 * Detects that this process stood still: its machine or a debugger paused it, or a computation blocked its event loop.
 * After a standstill, its knowledge of other processes may be out of date, and messages that arrived during it wait in
 * its sockets. `RunningTime` is time without these pauses.
 */
import { cpuUsage } from "node:process";
import { outside } from "../data/async_context.ts";
import { type Clock, elapsed, type Stamp, stamp, type Timer } from "./clock.ts";

/** Detects standstills of this process. */
export class Standstill {
  readonly #clock: Clock;
  readonly #limit: number;
  #looked: Stamp;
  #ended = -Infinity;
  /** Duration of the last standstill of the event loop, in ms; 0: it has been explained, or there was none. */
  #unexplained = 0;
  #timer: Timer | undefined;
  #closed = false;

  /** Detects standstills of more than `limit` ms, until it is closed. */
  constructor(clock: Clock, limit: number) {
    this.#clock = clock;
    this.#limit = limit;
    this.#looked = stamp(clock);
    this.#later();
  }

  /**
   * Time at which the last standstill ended, by the monotonic clock; `-Infinity`: there was none. If this call is the
   * first to notice a standstill, the present time.
   */
  get ended(): number {
    // this getter is read for each message, so it has to be fast: if the wall clock has not moved since the last check,
    // there was no standstill
    if (this.#clock.now() === this.#looked.wall) return this.#ended;
    const passed = elapsed(this.#clock, this.#looked);
    if (passed > this.#limit) {
      this.#ended = this.#clock.monotonic();
      // a wall clock that was set, or a machine that slept, is no handler's doing
      const blocked = this.#ended - this.#looked.monotonic;
      if (blocked > this.#limit) this.#unexplained = blocked;
    }
    this.#looked = stamp(this.#clock);
    return this.#ended;
  }

  /** Time of the last check for a standstill, by the monotonic clock. */
  get looked(): number {
    return this.#looked.monotonic;
  }

  /**
   * Returns for how long the event loop stood last, by the monotonic clock, in ms, once; 0: it has not since the last
   * call. Call when a handler has ended that may have caused it.
   */
  explain(): number {
    void this.ended; // the getter checks
    const lasted = this.#unexplained;
    this.#unexplained = 0;
    return lasted;
  }

  /** Stops the detection of standstills: no timer is set any more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #later(): void {
    this.#timer = this.#clock.after(this.#limit / 2.5, () => {
      if (this.#closed) return;
      void this.ended;
      this.#later();
    }, { background: true });
  }
}

/**
 * Measures time without the pauses of this process, which its machine, a debugger or a signal stopped, or which got
 * hardly any processor time. A computation that blocks the event loop is no pause. Code that blocks it and uses no
 * processor time, such as `execFileSync`, looks like a pause from inside the process: its time is not counted either.
 * A pause is noticed only while somebody {@link RunningTime.hold}s it; one of less than 250 ms is not, nor, in a busy
 * process, one of less than 500.
 */
export class RunningTime {
  readonly #clock: Clock;
  readonly #used: () => number;
  #holders = 0;
  /** Time at which the timer is due, by the monotonic clock; -1: no timer is set. */
  #due = -1;
  /** Processor time that this process had used when the timer was set, in ms. */
  #usedBefore = 0;
  /** Sum of all pauses, in ms. */
  #paused = 0;

  /** `used`: returns the processor time that this process has used, in ms. */
  constructor(clock: Clock, used: () => number = processorTime) {
    this.#clock = clock;
    this.#used = used;
  }

  /** Notices pauses from `now` on, a time by the monotonic clock, until each call has had its {@link release}. */
  hold(now: number): void {
    if (this.#holders++ === 0 && this.#due < 0) this.#watch(now);
  }

  /** Ends a {@link hold}. */
  release(): void {
    this.#holders--;
  }

  /** Returns the time `now`, by the monotonic clock, less all pauses so far. */
  at(now: number): number {
    // messages that arrived during a pause may be read before the timer fires
    if (this.#due >= 0 && stoodStill(now, this.#due)) this.#notice(now);
    return now - this.#paused;
  }

  #notice(now: number): void {
    const late = now - this.#due;
    const used = this.#used();
    if (used - this.#usedBefore < late / 2) this.#paused += late;
    this.#usedBefore = used;
    this.#due = now; // the timer fires soon
  }

  #watch(now: number): void {
    this.#due = now + CHECK_INTERVAL;
    this.#usedBefore = this.#used();
    const check = () => {
      const now = this.#clock.monotonic();
      this.at(now);
      this.#due = -1;
      if (this.#holders > 0) this.#watch(now);
    };
    outside(() => this.#clock.after(CHECK_INTERVAL, check, { background: true }));
  }
}

function processorTime(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1_000;
}

const CHECK_INTERVAL = 250; // ms

/**
 * Returns true if a timer that was due at `due` and fires `now`, both by the monotonic clock, is so late that this
 * process must have stood still: answers that arrived during the standstill may be unread in its sockets.
 * @decides the delay of a timer that shows that this process stood still, for all checks of silence and of leases
 */
export function stoodStill(now: number, due: number): boolean {
  return now - due >= MAX_TIMER_DELAY;
}

/** Delay of a timer, in ms, that shows that this process stood still. */
const MAX_TIMER_DELAY = 250;
