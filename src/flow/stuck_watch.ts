/**
 * The stuck runs that this node knows: runs that became stuck while it drove them. Reports to the observer that a run
 * is stuck, and that it is stuck no longer, even if another node resumed it. `statusOf` in `journal.ts` decides when a
 * run is stuck; `FailedAttempts.record` and `DriveRecorder.refuse` record the entries that lead there.
 */
import type { Observer } from "../contract/observer.ts";
import type { Clock } from "../ports/clock.ts";
import { type Journal, type RecordedError, statusOf } from "./journal.ts";
import type { RunLog } from "./run_log.ts";
import { keyOf, type RunRef } from "./run_ref.ts";

/** The stuck runs of a node. */
export class StuckRuns {
  readonly #log: Pick<RunLog, "end" | "load">;
  readonly #clock: Clock;
  readonly #observer: Observer;
  /** Stuck runs, by key. `sequence`: of the last message that was read of the run; 0: none yet. */
  readonly #runs = new Map<string, { readonly ref: RunRef; sequence: number }>();
  /** Time of the last check of the runs, by the monotonic clock. */
  #looked = -Infinity;

  constructor(log: Pick<RunLog, "end" | "load">, clock: Clock, observer: Observer) {
    this.#log = log;
    this.#clock = clock;
    this.#observer = observer;
  }

  /** Adds a run that is about to be stuck. `error`: the thrown error, if any. */
  add(ref: RunRef, step: string, { code, message, cause }: RecordedError, error: unknown): void {
    if (this.#runs.size < MOST) this.#runs.set(keyOf(ref), { ref, sequence: 0 });
    const thrown = { ...(error === undefined ? {} : { error }), ...(cause === undefined ? {} : { cause }) };
    this.#observer({ type: "run-stuck", workflow: ref.workflow, run: ref.run, step, code, message, ...thrown });
  }

  /** Called when a run was read, or driven; `journal` is `undefined` if there is no such run. */
  read({ workflow, run }: RunRef, journal: Journal | undefined): void {
    if (journal !== undefined && statusOf(journal) === "stuck") return;
    if (this.#runs.delete(keyOf({ workflow, run }))) this.#observer({ type: "run-resumed", workflow, run });
  }

  /**
   * Checks whether another node has resumed the runs: some of them in each call, and not again within `PAUSE` ms.
   * Called when the stuck runs are asked for.
   */
  look(): void {
    const now = this.#clock.monotonic();
    if (this.#runs.size === 0 || now - this.#looked < PAUSE) return;
    this.#looked = now;
    for (const [key, known] of [...this.#runs].slice(0, AT_ONCE)) {
      this.#runs.delete(key); // to the end: checked last next time
      this.#runs.set(key, known);
      this.#look(known).catch(() => {}); // a later call checks it again
    }
  }

  async #look(known: { readonly ref: RunRef; sequence: number }): Promise<void> {
    const { ref } = known;
    const end = await this.#log.end(ref);
    if (end?.sequence === known.sequence) return;
    known.sequence = end?.sequence ?? 0;
    this.read(ref, end && await this.#log.load(ref));
  }
}

/** Maximum number of runs that are remembered. */
const MOST = 1_000;
/** Maximum number of runs that are checked at once. */
const AT_ONCE = 20;
/** Minimum time between two checks, in ms. */
const PAUSE = 2_000;
