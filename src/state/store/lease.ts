/**
 * How long a process may rely on an entry that it wrote with a ttl: one margin less than the ttl, counted from before
 * the write was sent, by whichever clock is further on. So a lease ends in this process before its entry can expire in
 * the store.
 */
import { type Clock, elapsed, type Stamp, stamp, type Timer } from "../../ports/clock.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { isForbidden } from "../../ports/transport.ts";
import type { Bucket } from "../../ports/key_value_store.ts";

/** How long before the end of its ttl a lease ends, in ms: 1 s, or a third of a ttl below 3 s. */
export function margin(ttl: number): number {
  return Math.min(1_000, ttl / 3);
}

/** Ms that are left of the lease of an entry whose write was sent at `since`; 0 or less once it has ended. */
export function left(clock: Clock, since: Stamp, ttl: number): number {
  return ttl - margin(ttl) - elapsed(clock, since);
}

/** A holder of a lease, which is checked when a clock jumps: timers do not notice that a machine slept. */
export interface Leased {
  /** Loses the lease if it has ended. */
  check(): void;
}

/** Checks all leases of a node when the wall clock jumps ahead. One timer for all of them, and none without a lease. */
export class JumpWatch {
  readonly #clock: Clock;
  readonly #leased = new Set<Leased>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(leased: Leased): void {
    this.#leased.add(leased);
    if (this.#timer === undefined) this.#compareLater(stamp(this.#clock));
  }

  delete(leased: Leased): void {
    this.#leased.delete(leased);
  }

  #compareLater(last: Stamp): void {
    const due = this.#clock.monotonic() + INTERVAL;
    this.#timer = this.#clock.after(INTERVAL, () => {
      this.#timer = undefined;
      if (this.#leased.size === 0) return;
      const now = stamp(this.#clock);
      const gained = now.wall - last.wall - (now.monotonic - last.monotonic);
      // after a pause this timer is one of the first to run: renewals are due later
      const stoodStill = now.monotonic - due > LATE;
      if (gained > JUMP || stoodStill) { for (const leased of [...this.#leased]) leased.check(); }
      // without a jump `last` stays, so that a slow drift adds up to one
      this.#compareLater(Math.abs(gained) > JUMP ? now : last);
    }, { background: true });
  }
}

const INTERVAL = 250; // ms
const JUMP = 50; // ms that the wall clock may gain before leases are checked
const LATE = 250; // ms that the timer may be late before the process is said to have stood still

// Time limits for answers of the store. One timer serves all calls of a node, because nearly all answers come within a
// millisecond.

interface Pending {
  readonly due: number;
  readonly timeOut: () => void;
}

/** The calls to the store that a node waits for. */
export class AnswerTimeouts {
  readonly #clock: Clock;
  readonly #pending = new Set<Pending>();
  #ticking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Settles as the call does. Rejects with `UNAVAILABLE` between `limit` and `limit` + 50 ms without an answer: one
   * that was lost would take much longer to fail.
   */
  within<T>(limit: number, call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = {
        due: this.#clock.monotonic() + limit,
        timeOut: () => {
          const message = `no answer from the store in ${limit} ms; a write may have happened`;
          reject(new CatgaError("UNAVAILABLE", message, { retryable: true }));
        },
      };
      this.#pending.add(pending);
      if (!this.#ticking) this.#tick();
      call.then((value) => {
        this.#pending.delete(pending);
        resolve(value);
      }, (error) => {
        this.#pending.delete(pending);
        reject(error);
      });
    });
  }

  #tick(): void {
    this.#ticking = true;
    this.#clock.after(TICK, () => {
      this.#ticking = false;
      const now = this.#clock.monotonic();
      for (const pending of this.#pending) {
        if (pending.due > now) continue;
        this.#pending.delete(pending);
        pending.timeOut();
      }
      if (this.#pending.size > 0) this.#tick();
    }, { background: true });
  }
}

const TICK = 50; // ms

// Failures after which nobody knows whether the store did what it was asked: the acknowledgement may have been lost.
// Such a write is read back, or made again by compare-and-set.

/** Whether a call failed without an answer of the store: a write may have happened. */
export function isAmbiguous(error: unknown): boolean {
  return isCatgaError(error) && error.code === "UNAVAILABLE" && !isForbidden(error);
}

/** The failure of a read that contradicts the write before it: another try may reach the stream's leader. */
export function staleAnswer(): CatgaError {
  return new CatgaError("UNAVAILABLE", "the store's answer came from a server that lags behind", { retryable: true });
}

// Opens a bucket on first use and keeps it; a failure is not kept, so that the next call tries again.

/** A function that returns the one bucket, opening it if that has not succeeded yet. */
export function openOnce(open: () => Promise<Bucket>): () => Promise<Bucket> {
  let opening: Promise<Bucket> | undefined;
  return () =>
    opening ??= open().catch((error) => {
      opening = undefined;
      throw error;
    });
}
