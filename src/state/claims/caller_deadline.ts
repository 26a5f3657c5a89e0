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
  /** True while nothing has been done for the sender, and its turn is waited for. */
  #waitsForTurn = false;

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
    const busy = "the store is busy: its turn had not come shortly before the deadline";
    this.abort(new CatgaError("TIMEOUT", this.#waitsForTurn ? busy : "the deadline has passed"));
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

  /**
   * Resolves with the sender's turn, when `turn` does. Rejects with {@link CallerDeadline.over} if the sender stops
   * waiting first, which it does shortly before its deadline ({@link EARLY}): a sender at another node is then told in
   * time that nothing was done. `leave` is called with a turn that comes later.
   */
  waitForTurn<T>(turn: Promise<T>, leave: (turn: T) => void): Promise<T> {
    const { due } = this;
    this.#waitsForTurn = true;
    this.#move(due - Math.min(EARLY, (due - this.#wheel.now()) / EARLY_PART));
    return new Promise((resolve, reject) => {
      this.onOver(reject);
      void turn.then((come) => {
        if (this.#over !== undefined) return leave(come);
        this.#waitsForTurn = false;
        this.#move(due);
        resolve(come);
      });
    });
  }

  #move(due: number): void {
    this.#wheel.delete(this);
    this.due = due;
    if (this.#over === undefined) this.#wheel.add(this);
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

/**
 * Time before its deadline at which a sender no longer waits for its turn, in ms: its answer travels, behind others,
 * and a write and a handler would follow. With little time left it is one part of {@link EARLY_PART}.
 */
const EARLY = 500;
const EARLY_PART = 4;
