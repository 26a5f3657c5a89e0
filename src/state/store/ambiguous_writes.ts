/** Calls to the store whose answers may get lost, and are not waited for for ever. */
import type { Clock } from "../../ports/clock.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { isForbidden } from "../../ports/transport.ts";

/** Whether a call failed because nothing is known of it: it may have been carried out. */
export function mayHaveHappened(error: unknown): boolean {
  return isCatgaError(error) && error.code === "UNAVAILABLE" && !isForbidden(error);
}

interface Awaited {
  readonly due: number;
  readonly giveUp: () => void;
}

/** The answers that a node waits for; one timer for all of them, because nearly all come within a millisecond. */
export class Answers {
  readonly #clock: Clock;
  readonly #awaited = new Set<Awaited>();
  #ticking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What a call gives, or `UNAVAILABLE` after `limit` ms and a little: an answer that was lost would take much longer. */
  of<T>(limit: number, call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const awaited = {
        due: this.#clock.monotonic() + limit,
        giveUp: () => {
          const message = `no answer from the store in ${limit} ms; a write may have happened`;
          reject(new CatgaError("UNAVAILABLE", message, { retryable: true }));
        },
      };
      this.#awaited.add(awaited);
      if (!this.#ticking) this.#tick();
      call.then((value) => {
        this.#awaited.delete(awaited);
        resolve(value);
      }, (error) => {
        this.#awaited.delete(awaited);
        reject(error);
      });
    });
  }

  #tick(): void {
    this.#ticking = true;
    this.#clock.after(TICK, () => {
      this.#ticking = false;
      const now = this.#clock.monotonic();
      for (const awaited of this.#awaited) {
        if (awaited.due > now) continue;
        this.#awaited.delete(awaited);
        awaited.giveUp();
      }
      if (this.#awaited.size > 0) this.#tick();
    }, { background: true });
  }
}

const TICK = 50; // ms
