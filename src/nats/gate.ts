/** Lets few of many in at a time, in the order in which they come: a thousand requests at once would all be late. */

/** A gate. */
export class Gate {
  readonly #most: number;
  readonly #waiting = new Set<() => void>();
  #inside = 0;

  /** Of this many at a time. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Resolves with a function that is to be called when it has left. Rejects with the signal's reason when that aborts before. */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#inside < this.#most) this.#inside++;
    else await this.#turn(signal);
    return () => {
      const [next] = this.#waiting;
      if (next === undefined) this.#inside--;
      else next();
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        this.#waiting.delete(go);
        signal.removeEventListener("abort", abort);
        settle();
      };
      const go = () => end(resolve);
      const abort = () => end(() => reject(signal.reason));
      this.#waiting.add(go);
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}
