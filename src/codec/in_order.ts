/** Values that are made at their own pace, and what follows from each, in the order of the calls. */
import type { MaybePromise } from "../contract/schema.ts";

/** A queue. What is there at once, with nothing before it, is passed on at once. */
export class InOrder {
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  /** True if nothing waits. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Resolves when all that waits now has been passed on. */
  get passed(): Promise<void> {
    return this.#last;
  }

  /** `failed` gets what the value rejects with, and what `then` throws. */
  pass<T>(value: MaybePromise<T>, then: (value: T) => void, failed: (error: unknown) => void): void {
    if (!(value instanceof Promise) && this.#waiting === 0) return attempt(then, value, failed);
    this.#waiting++;
    const settled = Promise.resolve(value).then(
      (value) => () => attempt(then, value, failed),
      (error) => () => failed(error),
    );
    this.#last = this.#last.then(() => settled).then((pass) => {
      this.#waiting--;
      pass();
    });
  }
}

function attempt<T>(then: (value: T) => void, value: T, failed: (error: unknown) => void): void {
  try {
    then(value);
  } catch (error) {
    failed(error);
  }
}
