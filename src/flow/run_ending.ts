/** The end of a run. It is recorded, observed, and sent to those who wait for it; then the drive ends. */
import type { DriveState } from "./drive_state.ts";
import type { RecordedOutcome } from "./journal.ts";
import type { Steps } from "./steps.ts";

/** Ends the run of a drive. */
export class RunEnding {
  readonly #state: DriveState;
  readonly #steps: Steps;

  constructor(state: DriveState, steps: Steps) {
    this.#state = state;
    this.#steps = steps;
  }

  /**
   * Records the end of the run, and ends the drive when the end is stored. If a decision before it fails, the end is
   * dropped.
   */
  endWith(outcome: RecordedOutcome): void {
    const state = this.#state;
    const { journal } = state;
    const { keep } = journal.started!;
    state.recorder.record({ t: "ended", outcome, until: state.now + keep });
    state.recorder.after(() => {
      const { ended, endedAt, startedAt, headers } = journal;
      if (ended === undefined) return;
      const { host: { app }, ref } = state;
      app.tracer?.ended({ node: app.node, ...ref, headers, startedAt, endedAt, error: ended.error });
      app.observer({ type: "run-ended", ...ref, ms: Math.max(0, endedAt - startedAt), code: ended.error?.code });
      this.#steps.abandon();
      this.announce();
    });
  }

  /** Sends the stored end of the run to those who wait for it, retrying until it is sent, and ends the drive. */
  announce(): void {
    const state = this.#state;
    state.activity.work(async () => {
      await state.activity.insist(() => state.host.ended(state.ref, state.journal), undefined);
      state.stop("completed");
    });
  }
}
