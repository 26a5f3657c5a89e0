/**
 * A lock as its caller gets it: one key, or several that were taken together. Its signal aborts with `LOCK_LOST` when
 * one of its keys is lost (`held_key.ts` watches each):
 *
 * - when the key's lease ends without a renewal, by the wall clock or the monotonic clock, whichever has advanced more
 *   (`store/leased_entry.ts`): a timer, a jump of the clock, and every read of the signal check that;
 * - when the store shows no record of the key's acquisition;
 * - when the connection is closed, or the app stops.
 */
import type { CatgaError } from "../../error.ts";
import type { Lock } from "../../contract/calls/shared_state.ts";
import type { HeldKey } from "./held_key.ts";

/** A lock of one or several keys, held as long as all of its keys are. */
export class HeldLock implements Lock {
  /** Greatest fencing token of the lock's keys: the next acquisition of any of these keys has a greater one. */
  readonly token: number;
  readonly #keys: readonly HeldKey[];
  /** Made when the signal is first used: most locks are released without any use of it. */
  #controller: AbortController | undefined;
  #released: Promise<void> | undefined;

  constructor(keys: readonly HeldKey[]) {
    this.#keys = keys;
    this.token = Math.max(...keys.map((held) => held.token));
  }

  get signal(): AbortSignal {
    const controller = this.#controller ??= this.#abortOnLoss();
    // the leases are checked here, because after a pause of this process the timers have not run yet
    for (const held of this.#keys) held.check();
    return controller.signal;
  }

  release(): Promise<void> {
    return this.#released ??= Promise.all(this.#keys.map((held) => held.release())).then(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #abortOnLoss(): AbortController {
    const controller = new AbortController();
    const abort = (error: CatgaError) => controller.abort(error);
    for (const held of this.#keys) {
      if (held.lost !== undefined) abort(held.lost);
      held.onLost = abort;
    }
    return controller;
  }
}
