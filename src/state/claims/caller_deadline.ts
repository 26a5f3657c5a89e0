/** How long somebody waits: until a moment, a signal, or the end of what it waits in, whichever comes first. */
import { Deadlined, type DeadlineWheel } from "../../dispatch/deadline_wheel.ts";
import { CatgaError, isCatgaError } from "../../error.ts";

/** One caller's patience; to be disposed of. */
export class CallerDeadline extends Deadlined implements Disposable {
  readonly #wheel: DeadlineWheel;
  readonly #signal: AbortSignal;
  readonly #giveUps = new Set<(reason: CatgaError) => void>();
  readonly #onAbort = () => this.abort(reasonOf(this.#signal));
  #over: CatgaError | undefined;

  /** `due` is of the monotonic clock; then it is over with `TIMEOUT`, and with the signal's reason when that aborts. */
  constructor(wheel: DeadlineWheel, { due, signal }: { due: number; signal: AbortSignal }) {
    super(due);
    this.#wheel = wheel;
    this.#signal = signal;
    wheel.add(this);
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Why it is over, when it is. */
  get over(): CatgaError | undefined {
    return this.#over;
  }

  override expire(): void {
    this.abort(new CatgaError("TIMEOUT", "the deadline has passed"));
  }

  override abort(reason: CatgaError): void {
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
    this.#wheel.delete(this);
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#giveUps.clear();
  }
}

function reasonOf({ reason }: AbortSignal): CatgaError {
  return isCatgaError(reason) ? reason : new CatgaError("CANCELLED", "the sender gave up", { cause: reason });
}
