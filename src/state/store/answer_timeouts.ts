/**
 * Time limits for answers of the store. One timer serves all calls of a node, because nearly all answers come within a
 * millisecond.
 */
import type { Clock } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";

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
   * Settles as the call does. Rejects with `UNAVAILABLE` between `limit` and `limit` + 50 ms without an answer: one that was
   * lost would take much longer to fail.
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
