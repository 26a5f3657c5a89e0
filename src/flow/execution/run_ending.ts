/**
 * The end of a run. It is recorded, reported to observers, and announced to those who wait for the run's result; then
 * the execution of the run ends.
 */
import { byteLength } from "../../data/utf8.ts";
import type { DriveState } from "./drive_state.ts";
import type { WorkflowDefinition } from "../../contract/declaration/workflow_body.ts";
import type { HandOver } from "../stored/journal.ts";
import type { RecordedOutcome, Started } from "../stored/journal_entry.ts";
import type { Steps } from "./steps.ts";

/** Ends a run, and the execution of it. */
export class RunEnding {
  readonly #state: DriveState;
  readonly #steps: Steps;

  constructor(state: DriveState, steps: Steps) {
    this.#state = state;
    this.#steps = steps;
  }

  /**
   * Records the end of the run, and ends the execution when the end is stored. The end is dropped if it, or an entry
   * that was recorded before it and is not stored either, contradicts what another process stores first
   * (`drive_recorder.ts`).
   */
  endWith(outcome: RecordedOutcome): void {
    const state = this.#state;
    const { journal } = state;
    const { keep } = journal.started!;
    const schedules = first(state.times.unrecordedLate, MAX_SCHEDULES);
    const late = schedules.length > 0 ? { schedules } : {};
    state.recorder.record({ t: "ended", outcome, until: state.now + keep, ...late });
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

  /**
   * Records that the run begins anew with this input, and ends the execution when that is stored. As an end it is
   * dropped if it contradicts what another process stores first. `left`: what the next life gets of what waits of this
   * one took.
   */
  beginAnew(
    input: unknown,
    { version, keep }: Pick<WorkflowDefinition, "version" | "keep">,
    left: Pick<HandOver, "unseen" | "givenBack">,
  ): void {
    const state = this.#state;
    const { host, journal, journal: { life }, ref, times } = state;
    if (state.isHalting) return state.recorder.restart(); // a cancel that was stored meanwhile comes first
    const { timeout, parent, headers, redact, tags } = journal.started!;
    const shape = host.shapeOf(ref.workflow);
    const started: Started = {
      t: "started",
      ...{ version, keep },
      ...(input === undefined ? {} : { input }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(parent === undefined ? {} : { parent }),
      ...(shape === "" ? {} : { shape }),
      ...(headers === undefined ? {} : { headers }),
      ...(redact === undefined ? {} : { redact }),
      ...(tags === undefined ? {} : { tags }),
    };
    const schedules = first(times.unrecordedLate, MAX_SCHEDULES);
    state.recorder.recordAgain(started, { ...left, schedules });
    state.recorder.after(() => {
      if (journal.life === life) return;
      this.#steps.abandon();
      state.stop("new life");
    });
  }

  /**
   * Announces the stored end of the run to those who wait for it, trying again until it is sent, and ends the
   * execution.
   */
  announce(): void {
    const state = this.#state;
    state.activity.work(async () => {
      await state.activity.insist(() => state.host.ended(state.ref, state.journal));
      state.stop("completed");
    });
  }
}

/** Returns as many of the first names as fit, encoded as JSON, into this number of bytes. */
function first(names: readonly string[], mostBytes: number): readonly string[] {
  let left = mostBytes;
  return names.filter((name) => (left -= byteLength(JSON.stringify(name)) + 1) >= 0);
}

/**
 * Maximum length of the steps that an `ended` entry names because of their schedules, in bytes: half of the 8 kB of a
 * message that values leave free ({@link RunLog.mostBytes}). The schedules of further steps fire, which has no effect.
 */
const MAX_SCHEDULES = 4_096;
