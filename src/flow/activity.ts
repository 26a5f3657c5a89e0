/**
 * The activity of a drive: attempts of steps, appends, reads and timers. The drive does not rest before all of it has
 * ended. Each end asks for a turn of the drive, and so does whoever changes what a turn looks at.
 */
import { MAX_TIMEOUT } from "../data/checks.ts";
import { isCatgaError } from "../error.ts";
import { type Clock, doubled, type Timer } from "../ports/clock.ts";

/** The part of a drive that its {@link Activity} uses. */
export interface ActivityHost {
  readonly clock: Clock;
  /** Calls back in a later turn of the event loop. */
  soon(callback: () => void): void;
  /** A turn: not in the turn of the event loop that asked for it, and never after the end. */
  turn(): void;
  /** Gets what {@link Activity.work} rejects with. */
  broken(error: unknown): void;
}

/** The activity of a drive. */
export class Activity {
  readonly #host: ActivityHost;
  /** How much goes on. */
  #count = 0;
  #isTurnAskedFor = false;
  #isOver = false;
  readonly #timers = new Set<Timer>();

  constructor(host: ActivityHost) {
    this.#host = host;
  }

  /** True while anything is under way. */
  get isGoingOn(): boolean {
    return this.#count > 0;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Asks for a turn. All that follows from what happens now has been called by then. */
  askForTurn(): void {
    if (this.#isTurnAskedFor || this.#isOver) return;
    this.#isTurnAskedFor = true;
    this.#host.soon(() => {
      this.#isTurnAskedFor = false;
      if (!this.#isOver) this.#host.turn();
    });
  }

  /** Goes on until `work` has settled. Settles as `work` does. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await work();
    } finally {
      this.#end();
    }
  }

  /** Goes on until `work` has settled. What that rejects with ends the drive. */
  work(work: () => Promise<void>): void {
    this.during(work).catch((error) => this.#host.broken(error));
  }

  /** A timer, which goes on until it fires or is cancelled; a background one does not count as going on. */
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
   * Does something until it succeeds. Resolves with `undefined` when the drive is over before. Rejects with an error
   * whose code is not in `passing`; `undefined`: with none.
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

  /** Ends it: no timer fires, and no turn comes any more. */
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
