/** Passes on values that are computed asynchronously, in the order in which they were requested. */
import type { MaybePromise } from "../contract/schemas/schema.ts";

/**
 * A queue of values that are passed on in the order of the calls of `pass`, although some are promises. A value that is
 * no promise is passed on within the call, if no earlier value waits.
 * @decides the order of payloads that an asynchronous codec encodes
 */
export class InOrder {
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  /** True if no value waits to be passed on. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Resolves when all values that wait at the time of the call have been passed on. */
  get passed(): Promise<void> {
    return this.#last;
  }

  /**
   * Calls `then` with the value, after the values of earlier calls. `failed`: called if the value is a promise that
   * rejects, or if `then` throws.
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
