/** How long somebody waits: until a moment, a signal, or the end of what it waits in, whichever comes first. */
import type { Clock, Timer } from "../clock.ts";
import { CatgaError, isCatgaError } from "../error.ts";

/** One caller's patience; to be disposed of. */
export class Patience implements Disposable {
  readonly #signal: AbortSignal;
  readonly #timer: Timer;
  readonly #giveUps = new Set<(reason: CatgaError) => void>();
  readonly #abort = () => this.end(reasonOf(this.#signal));
  #over: CatgaError | undefined;

  /** `due` is of the monotonic clock; then it is over with `TIMEOUT`, and with the signal's reason when that aborts. */
  constructor(clock: Clock, { due, signal }: { due: number; signal: AbortSignal }) {
    this.#signal = signal;
    const left = Math.max(0, due - clock.monotonic());
    this.#timer = clock.after(left, () => this.end(new CatgaError("TIMEOUT", "the deadline has passed")));
    if (signal.aborted) this.#abort();
    else signal.addEventListener("abort", this.#abort, { once: true });
  }

  /** Why it is over, when it is. */
  get over(): CatgaError | undefined {
    return this.#over;
  }

  /** Ends it before its time. */
  end(reason: CatgaError): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    for (const giveUp of this.#giveUps) giveUp(reason);
    this[Symbol.dispose]();
  }

  /** What the work gives; rejects with why it is over when that comes first. The work goes on by itself then. */
  wait<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = reject;
      if (this.#over !== undefined) giveUp(this.#over);
      this.#giveUps.add(giveUp);
      work.then(resolve, reject).finally(() => this.#giveUps.delete(giveUp));
    });
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
    this.#signal.removeEventListener("abort", this.#abort);
    this.#giveUps.clear();
  }
}

function reasonOf({ reason }: AbortSignal): CatgaError {
  return isCatgaError(reason) ? reason : new CatgaError("CANCELLED", "the sender gave up", { cause: reason });
}
