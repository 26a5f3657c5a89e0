/**
 * Counts the activity of a drive: attempts of steps, appends, reads and timers. The drive does not rest before all of
 * it has ended. When an activity ends, and when state that a turn reads changes, a turn is requested.
 */
import { MAX_TIMEOUT } from "../data/checks.ts";
import { isCatgaError } from "../error.ts";
import { type Clock, doubled, type Timer } from "../ports/clock.ts";

/** The part of a drive that its {@link Activity} uses. */
export interface ActivityHost {
  readonly clock: Clock;
  /** Calls `callback` in a later turn of the event loop. */
  soon(callback: () => void): void;
  /**
   * A turn of the drive. Called in a later turn of the event loop than the request for it, and never after {@link
   * Activity.stop}.
   */
  turn(): void;
  /** Called with the error if the `work` of {@link Activity.work} rejects. */
  broken(error: unknown): void;
}

/** The activity of a drive. */
export class Activity {
  readonly #host: ActivityHost;
  /** Number of activities that are under way. */
  #count = 0;
  #isTurnAskedFor = false;
  #isOver = false;
  readonly #timers = new Set<Timer>();

  constructor(host: ActivityHost) {
    this.#host = host;
  }

  /** True while an activity is under way. */
  get isGoingOn(): boolean {
    return this.#count > 0;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Requests a turn of the drive. By then, all callbacks that follow from the current event have run. */
  askForTurn(): void {
    if (this.#isTurnAskedFor || this.#isOver) return;
    this.#isTurnAskedFor = true;
    this.#host.soon(() => {
      this.#isTurnAskedFor = false;
      if (!this.#isOver) this.#host.turn();
    });
  }

  /** Runs `work`, which is an activity until it has settled. Settles like `work`. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await work();
    } finally {
      this.#end();
    }
  }

  /** Runs `work`, which is an activity until it has settled. If `work` rejects, the drive ends with its error. */
  work(work: () => Promise<void>): void {
    this.during(work).catch((error) => this.#host.broken(error));
  }

  /** Starts a timer. Unless `background` is set, it is an activity until it fires or is cancelled. */
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
   * Calls `what` until it succeeds. Resolves with `undefined` if the drive ends before that. Rejects with an error
   * whose code is not in `passing`; without `passing`, each error is retried.
   */
  insist<T>(what: () => Promise<T>, passing: ReadonlySet<string> | undefined): Promise<T | undefined> {
    return this.during(async () => {
      for (let failures = 0; !this.#isOver; failures++) {
        try {
          return await what();
        } catch (error) {
          if (passing !== undefined && !(isCatgaError(error) && passing.has(error.code))) throw error;
          const pause = doubled(failures, FIRST_PAUSE, LONGEST_PAUSE);
          await new Promise<void>((resolve) => this.timer(pause, resolve));
        }
      }
      return undefined;
    });
  }

  /** Cancels the timers: no timer fires, and no turn is called any more. */
  stop(): void {
    this.#isOver = true;
    for (const timer of this.#timers) timer.cancel();
  }

  #end(): void {
    this.#count--;
    this.askForTurn();
  }
}

const FIRST_PAUSE = 50; // ms
const LONGEST_PAUSE = 2_000; // ms
