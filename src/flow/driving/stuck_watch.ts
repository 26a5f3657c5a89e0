/**
 * The stuck runs that this node knows: runs that became stuck while this node executed them. Reports to the app's
 * observers that a run is stuck, and when it no longer is, even if another node resumed it. `statusOf` in `journal.ts`
 * decides when a run is stuck; `FailedAttempts.record` and `DriveRecorder.refuse` record the entries that lead there.
 */
import type { Observer } from "../../contract/nodes/observer.ts";
import type { Clock } from "../../ports/clock.ts";
import { type Journal, statusOf } from "../stored/journal.ts";
import type { RecordedError } from "../stored/journal_entry.ts";
import type { RunLog } from "../stored/run_log.ts";
import { keyOf, type RunRef } from "../stored/run_ref.ts";

/** The stuck runs that one node knows. */
export class StuckRuns {
  readonly #log: Pick<RunLog, "end" | "load">;
  readonly #clock: Clock;
  readonly #observer: Observer;
  /** By key: the stuck runs. `sequence`: sequence of the last message of the run that was read; 0: none yet. */
  readonly #runs = new Map<string, { readonly ref: RunRef; sequence: number }>();
  /** Time of the last check whether runs are still stuck, by the monotonic clock. */
  #looked = -Infinity;

  constructor(log: Pick<RunLog, "end" | "load">, clock: Clock, observer: Observer) {
    this.#log = log;
    this.#clock = clock;
    this.#observer = observer;
  }

  /** Adds a run that is about to be stuck, and reports it. `error`: the thrown error, if any. */
  add(ref: RunRef, step: string, { code, message, cause }: RecordedError, error: unknown): void {
    if (this.#runs.size < MAX_STUCK_RUNS) this.#runs.set(keyOf(ref), { ref, sequence: 0 });
    const thrown = { ...(error === undefined ? {} : { error }), ...(cause === undefined ? {} : { cause }) };
    this.#observer({ type: "run-stuck", workflow: ref.workflow, run: ref.run, step, code, message, ...thrown });
  }

  /**
   * Called when the entries of a run were read, or this node has executed it: a run that is no longer stuck is
   * reported. `journal` is `undefined` if there is no such run.
   */
  read({ workflow, run }: RunRef, journal: Journal | undefined): void {
    if (journal !== undefined && statusOf(journal) === "stuck") return;
    if (this.#runs.delete(keyOf({ workflow, run }))) this.#observer({ type: "run-resumed", workflow, run });
  }

  /**
   * Checks whether stuck runs were resumed by other nodes: each call checks some of the runs, and each run once in
   * `PAUSE` ms at most. Called when a program or tool asks for the stuck runs.
   */
  look(): void {
    const now = this.#clock.monotonic();
    if (this.#runs.size === 0 || now - this.#looked < PAUSE) return;
    this.#looked = now;
    for (const [key, known] of [...this.#runs].slice(0, AT_ONCE)) {
      this.#runs.delete(key); // moved to the end of the list, to be checked last next time
      this.#runs.set(key, known);
      this.#look(known).catch(() => {}); // after an error, a later call checks the run again
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

/** Maximum number of stuck runs that are remembered. */
const MAX_STUCK_RUNS = 1_000;
/** Maximum number of runs that are checked in one call. */
const AT_ONCE = 20;
/** Minimum time between two checks of stuck runs, in ms. */
const PAUSE = 2_000;
