/** How long the sender of an idempotent command waits: until its deadline, its signal, or the end of the store. */
import { Deadlined, type DeadlineWheel } from "../../dispatch/deadline_wheel.ts";
import { CatgaError, isCatgaError } from "../../error.ts";

/** One caller's deadline. Whoever makes it disposes of it. */
export class CallerDeadline extends Deadlined implements Disposable {
  readonly #wheel: DeadlineWheel;
  readonly #signal: AbortSignal;
  readonly #rejects = new Set<(reason: CatgaError) => void>();
  readonly #onAbort = () => this.abort(reasonOf(this.#signal));
  #over: CatgaError | undefined;

  /** Over with `TIMEOUT` at `due` of the monotonic clock, or with the signal's reason, whichever comes first. */
  constructor(wheel: DeadlineWheel, { due, signal }: { due: number; signal: AbortSignal }) {
    super(due);
    this.#wheel = wheel;
    this.#signal = signal;
    wheel.add(this);
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Why the caller waits no longer; `undefined` while it waits. */
  get over(): CatgaError | undefined {
    return this.#over;
  }

  override expire(): void {
    this.abort(new CatgaError("TIMEOUT", "the deadline has passed"));
  }

  override abort(reason: CatgaError): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    for (const reject of this.#rejects) reject(reason);
    this[Symbol.dispose]();
  }

  /** Settles as the work does, or rejects with {@link CallerDeadline.over} if that comes first; the work goes on then. */
  wait<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#over !== undefined) reject(this.#over);
      this.#rejects.add(reject);
      work.then(resolve, reject).finally(() => this.#rejects.delete(reject));
    });
  }

  [Symbol.dispose](): void {
    this.#wheel.delete(this);
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#rejects.clear();
  }
}

function reasonOf({ reason }: AbortSignal): CatgaError {
  return isCatgaError(reason) ? reason : new CatgaError("CANCELLED", "the sender gave up", { cause: reason });
}
