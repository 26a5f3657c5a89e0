/** A lock as its holder has it: one key, or several that were taken together. */
import type { CatgaError } from "../error.ts";
import type { Lock } from "../shared_state.ts";
import type { HeldKey } from "./held_key.ts";

/** Held as long as all of its keys are. */
export class HeldKeys implements Lock {
  /** The greatest of its keys': the next acquisition of any of them has a greater one. */
  readonly token: number;
  readonly #keys: readonly HeldKey[];
  readonly #controller = new AbortController();
  #released: Promise<void> | undefined;

  constructor(keys: readonly HeldKey[]) {
    this.#keys = keys;
    this.token = Math.max(...keys.map((held) => held.token));
    for (const held of keys) held.onLost = (error: CatgaError) => this.#controller.abort(error);
  }

  get signal(): AbortSignal {
    // a process that stood still looks before it is told
    for (const held of this.#keys) held.check();
    return this.#controller.signal;
  }

  release(): Promise<void> {
    return this.#released ??= Promise.all(this.#keys.map((held) => held.release())).then(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
