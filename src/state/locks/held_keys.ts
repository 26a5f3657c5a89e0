/** A lock as its holder has it: one key, or several that were taken together. */
import type { CatgaError } from "../../error.ts";
import type { Lock } from "../../contract/shared_state.ts";
import type { HeldKey } from "./held_key.ts";

/** Held as long as all of its keys are. */
export class HeldKeys implements Lock {
  /** The greatest of its keys': the next acquisition of any of them has a greater one. */
  readonly token: number;
  readonly #keys: readonly HeldKey[];
  /** Made when it is asked for: most locks are held too briefly for that. */
  #controller: AbortController | undefined;
  #released: Promise<void> | undefined;

  constructor(keys: readonly HeldKey[]) {
    this.#keys = keys;
    this.token = Math.max(...keys.map((held) => held.token));
  }

  get signal(): AbortSignal {
    const controller = this.#controller ??= this.#follow();
    // a process that stood still looks before it is told
    for (const held of this.#keys) held.check();
    return controller.signal;
  }

  release(): Promise<void> {
    return this.#released ??= Promise.all(this.#keys.map((held) => held.release())).then(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #follow(): AbortController {
    const controller = new AbortController();
    const abort = (error: CatgaError) => controller.abort(error);
    for (const held of this.#keys) {
      if (held.lost !== undefined) abort(held.lost);
      held.onLost = abort;
    }
    return controller;
  }
}
