/**
 * A step that this node performs, in attempts, until one of them has an outcome.
 *
 * | state      | it waits for                                                     | then                          |
 * | ---------- | ---------------------------------------------------------------- | ----------------------------- |
 * | idle       | a schedule, or an operator, or somebody else's entry             | attempts, when news come      |
 * | pauses     | the pause behind a failed attempt, on this node                  | attempts                      |
 * | begins     | what it follows is stored, and that this node holds the run      | attempts, or is idle          |
 * | attempts   | the work, within its timeout                                     | outcome, pauses, or is idle   |
 * | given up   | nothing: the run is cancelled, and there is nothing to take back | –                             |
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { CatgaError, isCatgaError } from "../error.ts";
import type { Timer } from "../ports/clock.ts";
import type { DriveState } from "./drive_state.ts";
import type { FailedAttempts, StepRetry } from "./failed_attempts.ts";
import type { RecordedOutcome } from "./journal.ts";
import { DecidedFailure, errorOf, Passing, readable } from "./recorded_error.ts";
import { type AttemptWork, type OngoingAttempt, StepAttempt, stepId } from "./step_attempt.ts";
import { type CalledStep, StepCall } from "./step_call.ts";

/** The work of a step. */
export interface StepWork {
  readonly work: AttemptWork;
  /** How long an attempt may take, in ms. */
  readonly timeout: number;
  readonly retry: StepRetry;
}

/** A step that this node performs. */
export class AttemptedStep extends StepCall {
  readonly #failures: FailedAttempts;
  readonly #perform: (attempt: StepAttempt) => Promise<RecordedOutcome>;
  /** How long an attempt may take, in ms. */
  readonly #timeout: number;
  readonly #retry: StepRetry;
  /** No attempt began before this drive. */
  readonly #isFresh: boolean;
  /** An attempt has begun in this drive. */
  #hasBegun = false;
  /** It pauses, begins or attempts. */
  #isUnderWay = false;
  #attempt: StepAttempt | undefined;
  #ongoing: OngoingAttempt | undefined;
  #endPause: (() => void) | undefined;

  constructor(state: DriveState, failures: FailedAttempts, called: CalledStep, { work, timeout, retry }: StepWork) {
    super(state, called);
    this.#failures = failures;
    // in the async context of this call, not of what its turn came with
    this.#perform = AsyncLocalStorage.bind((attempt) => attempt.perform(state, called.name, work));
    this.#timeout = timeout;
    this.#retry = retry;
    this.#isFresh = state.isFresh && !state.handedOver.has(called.name);
  }

  override get ongoing(): OngoingAttempt | undefined {
    return this.#ongoing;
  }

  override abort(why: CatgaError): void {
    this.#attempt?.abort(why);
  }

  override endPause(): void {
    this.#endPause?.();
  }

  protected override proceed(): void {
    if (this.#isUnderWay) return this.endPause();
    this.#isUnderWay = true;
    const { state } = this;
    this.#toOutcome().then((outcome) => {
      this.#isUnderWay = false;
      if (this.isOver) state.halt();
      if (outcome === undefined || state.over) return;
      this.end();
      state.ends.deliver(this.name, () => {
        // behind a cancel the handler sees nothing any more
        if (state.journal.cancelled === undefined || state.phase !== "handler" || !this.isMain) this.settle(outcome);
        else state.halt();
      });
    });
  }

  /** Attempts it until it has an outcome; `undefined`: it is idle, or over. */
  async #toOutcome(): Promise<RecordedOutcome | undefined> {
    const { name, state } = this;
    const { times, recorder } = state;
    while (true) {
      if (this.isSettled) return undefined;
      const left = times.pauseOf(name);
      // a stuck one is given up like any other
      if (left === Infinity) return void this.#isGivenUp();
      if (left > 0) {
        if (times.isScheduled(name, state.journal.failures.get(name)!)) return undefined;
        await this.#pause(left);
        continue;
      }
      if (this.#isGivenUp() || !await recorder.ready(this.needsOutcome ? name : undefined)) return undefined;
      // what was read, or given up, meanwhile
      if (this.isSettled || this.#isGivenUp()) return undefined;
      if (state.isTooLong()) return undefined;
      const outcome = await state.activity.during(() => this.#attemptOnce());
      if (outcome !== "failed") return outcome;
    }
  }

  /** Performs one attempt. `undefined`: it counts for nothing, because the step or the drive is over. */
  async #attemptOnce(): Promise<RecordedOutcome | "failed" | undefined> {
    const { name, state } = this;
    const retry = this.#retry;
    state.attempts++;
    this.#hasBegun = true;
    const before = state.handedOver.get(name);
    state.handedOver.delete(name);
    const attempt = this.#attempt = before?.attempt ?? this.#newAttempt();
    const began = before?.began ?? state.now;
    const limit = this.#limitTime(attempt, began);
    try {
      this.#ongoing = before ?? { attempt, outcome: attempt.outcome(this.#perform(attempt)), began };
      const outcome = await this.#ongoing.outcome;
      if (this.isSettled) return undefined;
      if (outcome.error?.retryable && !this.#failures.isLastAttempt(name, retry)) {
        throw new Passing(errorOf(outcome.error));
      }
      state.recorder.record({ t: "done", step: name, outcome, ...(outcome.ok ? this.undoFlag : {}) });
      return outcome;
    } catch (thrown) {
      if (this.isSettled) return undefined;
      const error = readable(thrown);
      // what a step without undo throws when it is aborted is no failure
      if (!this.needsOutcome && this.#isGivenUp()) return undefined;
      if (isCatgaError(error) && error.code === "CLOSED" && !(error instanceof DecidedFailure)) {
        state.leaving = true;
        return undefined;
      }
      await this.#failures.record(name, error, retry);
      return "failed";
    } finally {
      this.#attempt = undefined;
      this.#ongoing = undefined;
      limit.cancel();
      state.attempts--;
    }
  }

  #newAttempt(): StepAttempt {
    const { name, state: { ref, journal } } = this;
    const number = (journal.failures.get(name)?.total ?? 0) + 1;
    return new StepAttempt(stepId(ref, name), number, this.#isFresh && number === 1);
  }

  /** Aborts an attempt after its timeout. The timer is set in a later turn, by which many attempts have ended. */
  #limitTime(attempt: StepAttempt, began: number): Timer {
    const { name, state } = this;
    const timeout = this.#timeout;
    let timer: Timer | undefined;
    state.host.soon(() => {
      if (this.#attempt !== attempt || state.over) return;
      timer = state.activity.timer(Math.max(0, began + timeout - state.now), () => {
        attempt.abort(new CatgaError("TIMEOUT", `an attempt of ${name} took longer than ${timeout} ms`));
      });
    });
    return { cancel: () => timer?.cancel() };
  }

  /** Gives it up if the run is cancelled, and there is nothing to undo of it, or it has not begun. */
  #isGivenUp(): boolean {
    const { phase, journal } = this.state;
    if (journal.cancelled === undefined || phase !== "handler") return false;
    if (this.needsOutcome && (this.#hasBegun || !this.#isFresh)) return false;
    this.giveUp();
    return true;
  }

  /** Waits on this node; news end it. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.state.activity.timer(ms, () => this.endPause());
      this.#endPause = () => {
        this.#endPause = undefined;
        timer.cancel();
        resolve();
      };
    });
  }
}
