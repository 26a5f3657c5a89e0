/**
 * Counts what is in progress in one execution of a run (a drive): attempts of steps, appends to the log, reads and
 * timers. As long as anything is in progress, the execution is not suspended ({@link DriveEnd}). Whenever something
 * ends, or state changes that the execution reacts to, a turn of the execution is requested ({@link
 * ActivityHost.turn}).
 */
import { MAX_TIMEOUT } from "../../data/checks.ts";
import { SparseSet } from "../../data/sparse.ts";
import type { Timer } from "../../ports/clock.ts";
import type { DriveHost } from "./drive_host.ts";
import { PAUSES, repeatUnless } from "../../ports/repeat.ts";

/** Callbacks from {@link Activity}, the count of what is in progress in an execution of a run, to the execution. */
export interface ActivityCallbacks {
  /**
   * Runs one turn of the execution: pending calls react to what has changed (`drive_state.ts`). Called in a later turn
   * of the event loop than the request for it, and never after {@link Activity.stop}.
   */
  turn(): void;
  /** Receives the error of work in progress that rejects. */
  broken(error: unknown): void;
}

/** Counts what is in progress in one execution of a run. */
export class Activity {
  readonly #host: Pick<DriveHost, "clock" | "soon">;
  readonly #callbacks: ActivityCallbacks;
  /** Number of attempts, appends, reads and timers in progress. */
  #count = 0;
  #isTurnAskedFor = false;
  #isOver = false;
  readonly #timers = new SparseSet<Timer>();

  constructor(host: Pick<DriveHost, "clock" | "soon">, callbacks: ActivityCallbacks) {
    this.#host = host;
    this.#callbacks = callbacks;
  }

  /** True while an attempt, append, read or timer is in progress. */
  get isGoingOn(): boolean {
    return this.#count > 0;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Requests a turn: the callback `turn` is called after all callbacks that follow from the present event have run. */
  askForTurn(): void {
    if (this.#isTurnAskedFor || this.#isOver) return;
    this.#isTurnAskedFor = true;
    this.#host.soon(() => {
      this.#isTurnAskedFor = false;
      if (!this.#isOver) this.#callbacks.turn();
    });
  }

  /** Counts something as in progress until {@link Activity.end} is called. */
  begin(): void {
    this.#count++;
  }

  /** Called when something that {@link Activity.begin} has counted is no longer in progress. */
  end(): void {
    this.#count--;
    this.askForTurn();
  }

  /** Runs `work`, which counts as in progress until it has settled. Resolves or rejects as `work` does. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.begin();
    try {
      return await work();
    } finally {
      this.end();
    }
  }

  /**
   * Runs `work`, which counts as in progress until it has settled. If `work` rejects, the execution of the run ends
   * with its error.
   */
  work(work: () => Promise<void>): void {
    this.during(work).catch((error) => this.#callbacks.broken(error));
  }

  /** Starts a timer. It counts as in progress until it fires or is cancelled, unless `background` is set. */
  timer(ms: number, then: () => void, background = false): Timer {
    if (!background) this.#count++;
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      this.#timers.delete(own);
      if (!background) this.#count--;
      this.askForTurn();
    };
    const timer = this.#host.clock.after(Math.min(ms, MAX_TIMEOUT), () => {
      end();
      if (!this.#isOver) then();
    }, { background });
    const own: Timer = {
      cancel: () => {
        timer.cancel();
        end();
      },
    };
    this.#timers.add(own);
    return own;
  }

  /**
   * Calls `what` until it succeeds, with growing pauses, and resolves with its result. Resolves with `undefined` if the
   * execution of the run ends before `what` has succeeded. Rejects with the first error for which `isTransient` returns
   * false; by default every error is retried.
   */
  insist<T>(what: () => Promise<T>, isTransient: (error: unknown) => boolean = () => true): Promise<T | undefined> {
    return this.during(() =>
      repeatUnless(() => this.#isOver, what, {
        pauses: PAUSES.background,
        pause: (ms) => new Promise((resolve) => this.timer(ms, resolve)),
        isTransient,
      })
    );
  }

  /** Cancels all timers. From now on no timer fires, and the callback `turn` is not called. */
  stop(): void {
    this.#isOver = true;
    for (const timer of this.#timers) timer.cancel();
  }
}
