/** The end of a run: it is recorded, then observed, then sent to whoever waits for it, and the drive is over. */
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

  /** Records the end, unless it is dropped with a decision before it, and ends the drive when it is stored. */
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

  /** The end is stored: sends it to whoever waits for it, however often that takes, and ends the drive. */
  announce(): void {
    const state = this.#state;
    state.activity.work(async () => {
      await state.activity.insist(() => state.host.ended(state.ref, state.journal), undefined);
      state.stop("completed");
    });
  }
}
