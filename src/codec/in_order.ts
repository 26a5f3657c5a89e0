/** Passes on values that are made asynchronously, in the order of the calls. */
import type { MaybePromise } from "../contract/schema.ts";

/** A queue of values. A value that is available at once, with nothing waiting before it, is passed on at once. */
export class InOrder {
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  /** True if no value waits. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Resolves when all values that wait now have been passed on. */
  get passed(): Promise<void> {
    return this.#last;
  }

  /**
   * Calls `then` with the value, after the values of earlier calls. `failed`: called with the rejection of the value,
   * or with an error that `then` throws.
   */
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
