/**
 * The async context of a program, in which its code finds the values of `AsyncLocalStorage` (`node:async_hooks`). Code
 * of a program runs in the context of the sender that caused it, or in none; never in the context of another sender,
 * such as the sender of the message whose end let this code begin. Callbacks that serve several senders (timers,
 * connections, shared openings) run in no sender's context.
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** Calls a function outside of any sender's async context: in the context in which Catga was loaded. */
export const outside: <T, Args extends unknown[]>(fn: (...args: Args) => T, ...args: Args) => T = AsyncLocalStorage
  .snapshot();

/** The load of a cache entry that waits for the code running now, as far as known; `undefined`: none. */
export const awaitedBy: AsyncLocalStorage<unknown> = new AsyncLocalStorage();

/**
 * Keeps the async context in which it was made, and runs functions in it, in a later microtask. It keeps the context
 * with a promise, which takes 0.1 µs; `AsyncResource` takes 1.5 µs (Deno 2.9.6).
 */
export class ContextSnapshot {
  #run!: (fn: () => void) => void;

  constructor() {
    this.#renew();
  }

  /**
   * Runs a function in this async context. Resolves with an object that contains the function's result, so that a
   * returned promise is not awaited. Rejects if the function throws.
   */
  run<T>(fn: () => T): Promise<{ readonly returned: T }> {
    return new Promise((resolve, reject) =>
      this.#run(() => {
        try {
          resolve({ returned: fn() });
        } catch (error) {
          reject(error);
        }
      })
    );
  }

  /** This function is not async, so that the callback runs in the context in which `then` is called. */
  #renew(): void {
    new Promise<() => void>((resolve) => this.#run = resolve).then((fn) => {
      this.#renew();
      fn();
    });
  }
}
