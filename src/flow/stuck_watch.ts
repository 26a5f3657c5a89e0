/**
 * The runs that are stuck as far as this node knows: those whose drives here ended so. Observes that they are, and that
 * they are no more, also when that is another node's doing. `statusOf` in `journal.ts` decides when a run is stuck;
 * `FailedAttempts.record` and `DriveRecorder.refuse` record what leads there.
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
  /** With the last message that was read of each; 0 before. */
  readonly #runs = new Map<string, { readonly ref: RunRef; sequence: number }>();
  /** When they were last looked at, by the monotonic clock. */
  #looked = -Infinity;

  constructor(log: Pick<RunLog, "end" | "load">, clock: Clock, observer: Observer) {
    this.#log = log;
    this.#clock = clock;
    this.#observer = observer;
  }

  /** A run is about to be stuck. `error`: what was thrown, if anything was. */
  add(ref: RunRef, step: string, { code, message, cause }: RecordedError, error: unknown): void {
    if (this.#runs.size < MOST) this.#runs.set(keyOf(ref), { ref, sequence: 0 });
    const thrown = { ...(error === undefined ? {} : { error }), ...(cause === undefined ? {} : { cause }) };
    this.#observer({ type: "run-stuck", workflow: ref.workflow, run: ref.run, step, code, message, ...thrown });
  }

  /** A run was read, or driven; `undefined`: there is no such run. */
  read({ workflow, run }: RunRef, journal: Journal | undefined): void {
    if (journal !== undefined && statusOf(journal) === "stuck") return;
    if (this.#runs.delete(keyOf({ workflow, run }))) this.#observer({ type: "run-resumed", workflow, run });
  }

  /**
   * Somebody asks for them: looks, some at a time and not again at once, which of them another node has gone on with.
   */
  look(): void {
    const now = this.#clock.monotonic();
    if (this.#runs.size === 0 || now - this.#looked < PAUSE) return;
    this.#looked = now;
    for (const [key, known] of [...this.#runs].slice(0, AT_ONCE)) {
      this.#runs.delete(key); // the last one next time
      this.#runs.set(key, known);
      this.#look(known).catch(() => {}); // whoever asks again has it looked at again
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

/** Runs that are remembered, and those that are looked at at once. */
const MOST = 1_000;
const AT_ONCE = 20;
/** Between two looks, in ms. */
const PAUSE = 2_000;
