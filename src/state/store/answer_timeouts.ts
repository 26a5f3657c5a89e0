/**
 * Time limits for answers of the store. One timer serves all calls of a node, because nearly all answers come within a
 * millisecond. A `DeadlineWheel` in place of this list would take 33 kB for each of a node's four (measured), and its
 * entries are aborted when the node stops, while these calls still need their limits.
 */
import type { Clock, Timer } from "../../ports/clock.ts";
import { unavailable } from "../../error.ts";

/** A running call, in a list of all of them: a set would take memory for each call that it has had. */
interface PendingStoreCall {
  readonly due: number;
  readonly limit: number;
  readonly reject: (error: Error) => void;
  previous: PendingStoreCall | undefined;
  next: PendingStoreCall | undefined;
  isOver: boolean;
}

/** A sender that may stop waiting for an answer of the store. */
interface WaitingSender {
  /** Calls `reject` when the sender stops waiting; at once if it has. Replaces the function of the call before. */
  onOver(reject: (error: Error) => void): void;
}

/** The running calls of a node to the store that have a time limit. */
export class AnswerTimeouts {
  readonly #clock: Clock;
  #first: PendingStoreCall | undefined;
  #last: PendingStoreCall | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lets the timer end with the last running call. Call when the node stops. */
  close(): void {
    this.#closed = true;
    this.#stopIfIdle();
  }

  /**
   * Settles as the given call does. Without an answer, rejects with `UNAVAILABLE` after `limit` to `limit` + 50 ms,
   * because a call whose answer was lost would fail much later. `now`: the monotonic clock, if the caller has read it.
   * With `sender`, rejects as well when the sender stops waiting.
   */
  within<T>(
    limit: number,
    call: Promise<T>,
    now: number = this.#clock.monotonic(),
    sender?: WaitingSender,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      sender?.onOver(reject);
      const previous = this.#last;
      const pending: PendingStoreCall = { due: now + limit, limit, reject, previous, next: undefined, isOver: false };
      if (previous === undefined) this.#first = pending;
      else previous.next = pending;
      this.#last = pending;
      if (this.#timer === undefined) this.#tick();
      call.then((value) => {
        this.#remove(pending);
        resolve(value);
      }, (error) => {
        this.#remove(pending);
        reject(error);
      });
    });
  }

  #remove(pending: PendingStoreCall): void {
    if (pending.isOver) return;
    pending.isOver = true;
    const { previous, next } = pending;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    if (this.#closed) this.#stopIfIdle();
  }

  #stopIfIdle(): void {
    if (this.#first !== undefined) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = this.#clock.after(CHECK_INTERVAL, () => {
      this.#timer = undefined;
      const now = this.#clock.monotonic();
      for (let pending = this.#first; pending !== undefined; pending = pending.next) {
        if (pending.due > now) continue;
        this.#remove(pending);
        pending.reject(unavailable(`no answer from the store in ${pending.limit} ms; a write may have happened`));
      }
      if (this.#first !== undefined) this.#tick();
    }, { background: true });
  }
}

const CHECK_INTERVAL = 50; // ms
