/**
 * Time limits for answers of the store. One timer serves all calls of a node, because nearly all answers come within a
 * millisecond.
 */
import type { Clock, Timer } from "../../ports/clock.ts";
import { unavailable } from "../../error.ts";

interface PendingStoreCall {
  readonly due: number;
  readonly timeOut: () => void;
}

/** The running calls of a node to the store that have a time limit. */
export class AnswerTimeouts {
  readonly #clock: Clock;
  readonly #pending = new Set<PendingStoreCall>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lets the timer end with the last running call. Call when the node stops. */
  close(): void {
    this.#closed = true;
    this.#rest();
  }

  /**
   * Settles as the given call does. Without an answer, rejects with `UNAVAILABLE` after `limit` to `limit` + 50 ms,
   * because a call whose answer was lost would fail much later.
   */
  within<T>(limit: number, call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = {
        due: this.#clock.monotonic() + limit,
        timeOut: () => {
          const message = `no answer from the store in ${limit} ms; a write may have happened`;
          reject(unavailable(message));
        },
      };
      this.#pending.add(pending);
      if (this.#timer === undefined) this.#tick();
      const settled = () => {
        this.#pending.delete(pending);
        if (this.#closed) this.#rest();
      };
      call.then(settled, settled);
      call.then(resolve, reject);
    });
  }

  #rest(): void {
    if (this.#pending.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = this.#clock.after(CHECK_INTERVAL, () => {
      this.#timer = undefined;
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

const CHECK_INTERVAL = 50; // ms
