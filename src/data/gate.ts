/** Limits of concurrency: a gate for operations of many callers, and calls for a list of values. */

/**
 * Limits how many operations run at once, because if a thousand requests ran at once, all would end late. Further
 * operations wait, in the order of their arrival.
 */
export class Gate {
  /** Maximum number of operations that run at once, from now on. */
  most: number;
  readonly #waiting = new Set<(leave: () => void) => void>();
  #inside = 0;
  #opening = false;

  constructor(most: number) {
    this.most = most;
  }

  /** True if another operation would have to wait. */
  get isFull(): boolean {
    return this.#inside + 1 > this.most;
  }

  /** Begins an operation that need not wait ({@link isFull}); returns a function to call when it is done. */
  take(): () => void {
    this.#inside++;
    return () => {
      this.#inside--;
      this.#open();
    };
  }

  /**
   * Calls `go` when the operation may run, perhaps at once. `go` must not throw; it gets a function to call when the
   * operation is done.
   */
  pass(go: (leave: () => void) => void): void {
    this.#waiting.add(go);
    this.#open();
  }

  /**
   * Resolves when the operation may run, with a function to call when the operation is done. Rejects with the signal's
   * reason if the signal aborts before.
   */
  enter(signal?: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const go = (leave: () => void) => {
        signal?.removeEventListener("abort", abort);
        resolve(leave);
      };
      const abort = () => {
        this.#waiting.delete(go);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.pass(go);
    });
  }

  /**
   * Starts the waiting operations in a loop, not by recursion: of thousands of operations that end at once, each would
   * start the next one.
   */
  #open(): void {
    if (this.#opening) return;
    this.#opening = true;
    for (const go of this.#waiting) {
      if (this.isFull) break;
      this.#waiting.delete(go);
      go(this.take());
    }
    this.#opening = false;
  }
}

/**
 * Calls `work` for each value, at most `most` at once: the next call begins when one has succeeded; after a failure
 * none begins. Resolves with the results, in the order of the values; rejects with the first failure.
 */
export async function fewAtOnce<T, R>(
  values: readonly T[],
  most: number,
  work: (value: T) => Promise<R> | R,
): Promise<R[]> {
  const outcomes: R[] = [];
  // all workers take their values from this generator; a failure ends it
  const left = function* () {
    yield* values.entries();
  }();
  const some = async () => {
    for (const [i, value] of left) outcomes[i] = await work(value);
  };
  await Promise.all(Array.from({ length: Math.min(most, values.length) }, some));
  return outcomes;
}
