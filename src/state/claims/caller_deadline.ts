/**
 * Limits how long the sender of an idempotent command waits: until its deadline passes, its signal aborts, or the store
 * of claims (`IdempotencyStore`) is closed.
 */
import { Deadlined, type DeadlineWheel } from "../../ports/deadline_wheel.ts";
import { CatgaError } from "../../error.ts";

/** The deadline of one sender. The object's creator must dispose of it, and abort it when the sender gives up. */
export class CallerDeadline extends Deadlined implements Disposable {
  readonly #wheel: DeadlineWheel;
  #reject: ((reason: CatgaError) => void) | undefined = undefined;
  #over: CatgaError | undefined = undefined;

  /** `due`: time at which waiting ends with `TIMEOUT`, by the monotonic clock. */
  constructor(wheel: DeadlineWheel, due: number) {
    super(due);
    this.#wheel = wheel;
    wheel.add(this);
  }

  /** Error with which the sender stops waiting; `undefined` while it waits. */
  get over(): CatgaError | undefined {
    return this.#over;
  }

  override expire(): void {
    this.abort(new CatgaError("TIMEOUT", "the deadline has passed"));
  }

  override abort(reason: CatgaError): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    this.#reject?.(reason);
    this[Symbol.dispose]();
  }

  /**
   * Settles as `work` does. Rejects with {@link CallerDeadline.over} if the sender stops waiting first; `work` then
   * goes on. Do not call again before the last call has settled.
   */
  wait<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.onOver(reject);
      work.then(resolve, reject);
    });
  }

  /** Calls `reject` when the sender stops waiting; at once if it has. Replaces the function of the call before. */
  onOver(reject: (error: CatgaError) => void): void {
    if (this.#over !== undefined) reject(this.#over);
    this.#reject = reject;
  }

  [Symbol.dispose](): void {
    this.#wheel.delete(this);
    this.#reject = undefined;
  }
}
