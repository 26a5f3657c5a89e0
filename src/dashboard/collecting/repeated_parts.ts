/**
 * Reads parts of a cluster's state again and again. A part that fails is tried again, and the page shows its problem;
 * no part waits for another one, and no part is read twice at once.
 */
import { isCatgaError } from "../../error.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import { isForbidden } from "../../ports/transport.ts";
import { shownText } from "../shown.ts";
import type { Problem } from "../view.ts";

/** Reads the parts of a cluster's state again and again, and keeps the problem of each part. */
export class RepeatedParts {
  readonly #clock: Clock;
  readonly #end: AbortSignal;
  readonly #only: ReadonlySet<string> | undefined;
  readonly #send: (problems: readonly Problem[]) => void;
  readonly #problems = new Map<string, Problem>();

  /**
   * `only`: names of the parts to be read; such a part is not repeated after it has failed for lack of a permission.
   * Absent: all parts.
   */
  constructor(
    clock: Clock,
    end: AbortSignal,
    only: ReadonlySet<string> | undefined,
    send: (problems: readonly Problem[]) => void,
  ) {
    this.#clock = clock;
    this.#end = end;
    this.#only = only;
    this.#send = send;
  }

  /** Reads a part with `work`, and again `pause` ms after each end, until `end` aborts. */
  repeat(part: string, pause: number, work: () => Promise<void>): void {
    const end = this.#end;
    if (this.#only?.has(part) === false) return;
    let timer: Timer | undefined;
    const run = async () => {
      try {
        await work();
        this.#note(part, undefined);
      } catch (error) {
        if (end.aborted) return;
        this.#note(part, shownText((error as Error).message, 400));
        if (this.#only !== undefined && isCatgaError(error) && isForbidden(error)) return;
      }
      if (!end.aborted) timer = this.#clock.after(pause, () => void run(), { background: true });
    };
    end.addEventListener("abort", () => timer?.cancel());
    void run();
  }

  #note(part: string, message: string | undefined): void {
    if (this.#problems.get(part)?.message !== message) this.setProblem(part, message);
  }

  /** Sets the problem of a part; `undefined`: it has none. Sends all problems to the page. */
  setProblem(part: string, message: string | undefined): void {
    if (message === undefined) this.#problems.delete(part);
    else this.#problems.set(part, { part, message });
    if (!this.#end.aborted) this.#send([...this.#problems.values()]);
  }
}
