/**
 * Undoing: the last phase of a run that has failed or was cancelled. It cancels children whose steps the handler did
 * not reach, undoes finished steps, the latest first and one at a time, and ends the run with its error. The table has
 * the states, what undoing waits for in each, and what follows it.
 *
 * | state            | waits for                                    | followed by                                         |
 * | ---------------- | -------------------------------------------- | --------------------------------------------------- |
 * | cancels children | the log, which stores each cancel            | next step                                           |
 * | next step        | the pause after a failed `undo`, if any      | runs `undo`; the end of the run, if no step is left |
 * | runs `undo`      | the function, within the timeout of its step | next step; a restart of the drive, if `undo` failed |
 *
 * A failed `undo`, and one that is stuck, restart the drive (the execution of the run): the handler then runs to where
 * it was, and undoing begins again with the steps that are not recorded as undone.
 */
import { type Failure, isFailure } from "../../contract/calls/result.ts";
import { CatgaError } from "../../error.ts";
import type { Timer } from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";
import { pausesBefore } from "./attempt_pause.ts";
import type { DriveState } from "./drive_state.ts";
import type { FailedAttempts } from "./failed_attempts.ts";
import { undoName, undoOrder } from "../stored/journal.ts";
import type { RecordedError } from "../stored/journal_entry.ts";
import { DecidedFailure, readable, recorded, ReturnedFailure } from "../stored/recorded_error.ts";
import { ownOf } from "../stored/recorded_value.ts";
import type { RunEnding } from "./run_ending.ts";
import type { Steps, Undo } from "./steps.ts";

/** Undoes the steps of a run that fails or is cancelled. */
export class Undoing {
  readonly #state: DriveState;
  readonly #steps: Steps;
  readonly #failures: FailedAttempts;
  readonly #ending: RunEnding;
  /** Steps that are still to be undone, the next one first. */
  #left: string[] = [];
  /** The step whose `undo` runs now; `undefined`: none. */
  #running: string | undefined;

  constructor(state: DriveState, steps: Steps, failures: FailedAttempts, ending: RunEnding) {
    this.#state = state;
    this.#steps = steps;
    this.#failures = failures;
    this.#ending = ending;
  }

  /** Returns true if an operator has skipped the `undo` that runs now. */
  get isSkipped(): boolean {
    return this.#running !== undefined && this.#state.journal.undone.has(this.#running);
  }

  /**
   * Begins to undo the run's steps. The run ends with `error`, unless the journal already has another error, or a
   * cancel. `isHalted`: the handler has not ended; a changed handler may not have called some of the steps that are to
   * be undone.
   */
  begin(error?: RecordedError, isHalted = false): void {
    const state = this.#state;
    const { journal } = state;
    const why = (journal.failing ?? journal.cancelled)?.error ?? error!; // one of the three is set
    const isUndone = (step: string, recorded: boolean) =>
      this.#steps.undoOf(step) !== undefined || (isHalted && recorded && !state.names.has(step));
    this.#left = [...undoOrder(journal, isUndone)];
    state.phase = "undoing";
    state.calls.clear();
    state.ends.handlerIsOver();
    this.#cancelChildren(why);
  }

  /** Cancels child runs whose steps a changed handler does not call, because nothing else would end them. */
  #cancelChildren(why: RecordedError): void {
    const { journal: { children, cancelled }, names, activity, host } = this.#state;
    const left = [...children].filter(([step]) => cancelled !== undefined && !names.has(step));
    if (left.length === 0) return this.#undoSteps(why);
    activity.work(async () => {
      for (const [, { workflow, run }] of left) {
        await activity.insist(() => host.cancelChild({ workflow, run }, why.message));
      }
      if (!activity.isOver) this.#undoSteps(why);
    });
  }

  #undoSteps(why: RecordedError): void {
    const { journal, recorder } = this.#state;
    if (this.#left.length > 0 && journal.failing === undefined) recorder.record({ t: "failing", error: why });
    this.#next(why);
  }

  #next(why: RecordedError): void {
    const state = this.#state;
    if (state.over) return;
    const [step] = this.#left;
    if (step === undefined) return this.#ending.endWith({ ok: false, error: why });
    const name = undoName(step);
    if (pausesBefore(state, name, () => this.#next(why))) return;
    const undo = this.#steps.undoOf(step);
    if (undo === undefined) {
      const message = `the handler was changed, and does not get to ${step}, which is to be undone: ` +
        `deploy one that calls it, and retry, or skip "${name}"`;
      return state.recorder.recordStuck(name, { code: "HANDLER_FAILED", message });
    }
    this.#undo(step, undo).then((isUndone) => {
      if (!isUndone) return;
      this.#left.shift();
      this.#next(why);
    }).catch((error) => state.broken(error));
  }

  /**
   * Undoes a step. Resolves with `false` if the step is not undone, because the handler restarts, or the execution of
   * the run has ended.
   */
  async #undo(step: string, undo: Undo): Promise<boolean> {
    const state = this.#state;
    const name = undoName(step);
    const policy = this.#steps.policyOf(step);
    if (!await state.recorder.ready()) return false;
    if (state.journal.undone.has(step)) return true;
    if (this.#failures.refuses(name, policy)) {
      state.recorder.restart();
      return false;
    }
    let refusal: Failure | undefined;
    try {
      this.#running = step;
      const { value } = state.journal.outcomes.get(step)!;
      const returned = await this.#inTime(step, policy.timeout, async () => await undo(ownOf(value)));
      if (isFailure(returned)) {
        if (returned.error.retryable && !this.#failures.isLastAttempt(name, policy)) {
          throw new ReturnedFailure(recorded(returned.error));
        }
        refusal = returned;
      }
    } catch (thrown) {
      const error = readable(thrown);
      const what = isFailure(error) ? new DecidedFailure(recorded(error.error)) : error;
      await this.#failures.record(name, what, policy);
      state.recorder.restart();
      return false;
    } finally {
      this.#running = undefined;
    }
    if (refusal !== undefined) {
      state.recorder.recordStuck(name, recorded(refusal.error));
      return false;
    }
    state.recorder.record({ t: "undone", step });
    return true;
  }

  /**
   * Resolves or rejects as `undo` does; rejects with `TIMEOUT` if for `timeout` ms no step called by `undo` was in
   * progress, and this process did not stand still.
   */
  #inTime(step: string, timeout: number, undo: () => Promise<unknown>): Promise<unknown> {
    const { activity, calls, journal } = this.#state;
    const { clock } = this.#state.host;
    return new Promise((resolve, reject) => {
      let timer: Timer;
      let isExtended = false;
      const limit = () => {
        const { entries } = journal;
        const due = clock.monotonic() + timeout;
        timer = activity.timer(timeout, () => {
          if (!isExtended && stoodStill(clock.monotonic(), due)) {
            isExtended = true;
            return limit();
          }
          if (calls.size > 0 || activity.isGoingOn || journal.entries > entries) return limit();
          reject(new CatgaError("TIMEOUT", `an attempt of ${undoName(step)} took longer than ${timeout} ms`));
        }, true);
      };
      limit();
      undo().then(resolve, reject).finally(() => timer.cancel());
    });
  }
}
