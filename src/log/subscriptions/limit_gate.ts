/**
 * A limit of a subscription in its leader's memory: how many of its messages run at once, and when the next one may
 * begin. The slots of a limit are those of messages that run by the ledger, so that none is lost with a leader: the
 * next one counts them anew from what runs.
 */
import type { LimitNumbers } from "../../contract/nodes/announcement.ts";

/** A limit of the runs of messages, over all nodes together. */
export class LimitGate {
  /** Name of the limit in its subscription. */
  readonly id: string;
  /** Number of messages that have a slot: those that run. */
  running = 0;
  #numbers: LimitNumbers;
  /** Time at which all that has begun is paid off, at the rate of the limit, in ms since 1970. */
  #paid: number;
  /** Time at which the last message has taken a slot, as far as this leader knows, in ms since 1970. */
  #taken: number;
  /** Time before which no message begins, as a handler has said, in ms since 1970. */
  #pausedUntil = -Infinity;

  /** `tookOver`: time until which another leader may have begun messages, in ms since 1970; `undefined`: none has. */
  constructor(id: string, numbers: LimitNumbers, tookOver: number | undefined) {
    this.id = id;
    this.#numbers = numbers;
    this.#taken = tookOver ?? -Infinity;
    // as many as may begin at once have just begun, as far as this leader knows
    this.#paid = tookOver === undefined ? -Infinity : tookOver + this.#ahead + Math.min(this.#each, LONGEST_WAIT);
  }

  /** Sets the numbers that count now. */
  set numbers(numbers: LimitNumbers) {
    this.#numbers = numbers;
    // at a higher rate nothing waits for the pauses of the lower one
    this.#paid = Math.min(this.#paid, this.#taken + this.#ahead + this.#each);
  }

  /** True if the number of messages that run at once is limited, and reached. */
  get isFull(): boolean {
    return this.running >= this.#numbers.running;
  }

  /** Time from which on one more message may begin, in ms since 1970, as far as the rate and pauses go. */
  get due(): number {
    return this.#each === 0 ? this.#pausedUntil : Math.max(this.#pausedUntil, this.#paid - this.#ahead);
  }

  /** Time for which a handler has paused the limit, in ms; 0: it is not paused. */
  pausedFor(now: number): number {
    return Math.max(0, this.#pausedUntil - now);
  }

  /** Lets no message begin before this time, in ms since 1970. */
  pause(until: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, until);
  }

  /** Takes a slot for a message that begins. */
  take(now: number): void {
    this.running++;
    this.#taken = Math.max(this.#taken, now);
    if (this.#each > 0) this.#paid = Math.max(this.#paid, now) + this.#each;
  }

  /** Takes a slot for a message that runs already. */
  join(): void {
    this.running++;
  }

  /** Gives a slot back. `ran`: false if the message certainly did not run: it does not count for the rate either. */
  giveBack(ran: boolean): void {
    this.running--;
    if (!ran) this.#paid -= this.#each;
  }

  /** Time for which one message is paid, in ms. */
  get #each(): number {
    return this.#numbers.count === Infinity ? 0 : this.#numbers.ms / this.#numbers.count;
  }

  /** Time by which messages may begin ahead of the rate, in ms. */
  get #ahead(): number {
    return Math.max((this.#numbers.burst - 1) * this.#each, Math.min(LATE_TIMERS, this.#each));
  }
}

/** Time by which timers may be late, in ms: so much may be made up for. */
const LATE_TIMERS = 20;
/** Longest time that a new leader waits before the first message begins, in ms. */
const LONGEST_WAIT = 10_000;
