/**
 * A step that this node performs, in attempts, until one of them has an outcome. The table has the states, what the
 * step waits for in each, and what follows it.
 *
 * | state    | waits for                                                                    | followed by                             |
 * | -------- | ---------------------------------------------------------------------------- | --------------------------------------- |
 * | idle     | its time (`drive_times.ts`), or an entry that another process stored         | begins, if its time is over             |
 * | begins   | the store, which records that this node executes the run                     | attempts; idle, if no attempt may begin |
 * | attempts | the work, within its timeout                                                 | the outcome; idle after a failure       |
 * | given up | nothing: the run is cancelled, and there is nothing to undo                  | nothing: the call never settles         |
 */
import { ContextSnapshot } from "../../data/async_context.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import type { Timer } from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";
import type { DriveState } from "./drive_state.ts";
import type { FailedAttempts, StepRetry } from "./failed_attempts.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { DecidedFailure, readable, ReturnedFailure } from "../stored/recorded_error.ts";
import { ownOf } from "../stored/recorded_value.ts";
import { type AttemptReports, type AttemptWork, type OngoingAttempt, StepAttempt, stepId } from "./step_attempt.ts";
import { type CalledStep, StepCall } from "./step_call.ts";

/** The work of a step, and how it is tried. */
export interface StepWork {
  readonly work: AttemptWork;
  /** Timeout of one attempt of the step, in ms. */
  readonly timeout: number;
  readonly retry: StepRetry;
}

/** A step that this node performs, in one or more attempts. */
export class AttemptedStep extends StepCall implements AttemptReports {
  readonly #failures: FailedAttempts;
  readonly #work: AttemptWork;
  /** Timeout of one attempt of the step, in ms. */
  readonly #timeout: number;
  readonly #retry: StepRetry;
  /** True if no attempt of the step can have begun before this execution of the run. */
  readonly #isFresh: boolean;
  /** True once an attempt has begun in this execution of the run. */
  #hasBegun = false;
  /** True in the states "begins" and "attempts": this node works towards the step's outcome. */
  #isUnderWay = false;
  #attempt: StepAttempt | undefined;
  #ongoing: OngoingAttempt | undefined;
  /** When the attempt in progress, or the last one, began, in ms since 1970. */
  #began = 0;
  /** Timer that aborts the attempt in progress. */
  #limit: Timer | undefined;
  /** When it does, by the monotonic clock; `undefined`: it was not started for the attempt in progress. */
  #due: number | undefined;
  /**
   * The async context in which the step was called: the work runs in it, not in the context of the event that led to
   * the attempt. Set when the step has not got an outcome at once: until then promises keep the context.
   */
  #context: ContextSnapshot | undefined;

  constructor(state: DriveState, failures: FailedAttempts, called: CalledStep, { work, timeout, retry }: StepWork) {
    super(state, called);
    this.#failures = failures;
    this.#work = work;
    this.#timeout = timeout;
    this.#retry = retry;
    // an earlier execution may have begun a step of a list before it had stored what it had seen: #isReady
    const mayBeAhead = called.together !== undefined && !called.needsOutcome;
    const isFresh = mayBeAhead ? state.isFirst : state.isFresh;
    this.#isFresh = isFresh && !state.handedOver.has(called.name);
  }

  override get mayHaveBegun(): boolean {
    return this.#hasBegun || !this.#isFresh;
  }

  override get ongoing(): OngoingAttempt | undefined {
    return this.#ongoing;
  }

  override abort(why: () => CatgaError): void {
    this.#attempt?.abort(why());
  }

  override supersede(why: () => CatgaError): void {
    const attempt = this.#attempt;
    attempt?.supersede(why());
    // an attempt that goes on has its time, as elsewhere: later its end would be that of a step that others perform
    if (attempt?.isAborted === false) this.#limitTime(attempt, this.#began);
  }

  protected override proceed(): void {
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    const { state } = this;
    const ended = this.#context?.run(() => this.#toOutcome()).then(({ returned }) => returned) ?? this.#toOutcome();
    ended.then((outcome) => {
      this.#isUnderWay = false;
      if (outcome === undefined) this.#context ??= new ContextSnapshot();
      if (this.isOver) state.halt();
      if (outcome === undefined || state.over) return;
      this.end();
      state.ends.deliver(this.name, () => {
        // the handler sees no outcomes that were recorded after a cancel of the run
        if (state.journal.cancelled === undefined || state.phase !== "handler" || !this.isMain) this.settle(outcome);
        else state.halt();
      });
    });
  }

  /**
   * Runs attempts until the step has an outcome. Resolves with `undefined` if the step waits for its time or an entry
   * of another process, or no longer needs an outcome.
   */
  async #toOutcome(): Promise<RecordedOutcome | undefined> {
    const { name, state } = this;
    while (true) {
      if (this.isSettled) return undefined;
      const time = state.times.pause(name, () => this.isOver || this.go());
      // if the run was cancelled, a step that waits for an operator is given up, too
      if (time === "stuck") return void this.#isGivenUp();
      if (time !== "over") return undefined;
      if (this.#isGivenUp() || !await this.#isReady()) return undefined;
      // the step may have got an outcome, or may have been given up, while `ready` appended entries
      if (this.isSettled || this.#isGivenUp()) return undefined;
      if (state.isTooLong()) return undefined;
      if (this.#failures.refuses(name, this.#retry)) {
        await state.recorder.stored();
        continue;
      }
      const returned = this.#failures.returned(name, this.#retry);
      if (returned !== undefined) {
        const outcome: RecordedOutcome = { ok: false, error: returned };
        state.recorder.record({ t: "done", step: name, outcome }, this.together);
        return outcome;
      }
      const outcome = await this.#attemptOnce();
      if (outcome !== "failed") return outcome;
    }
  }

  /** Resolves with `false` if no attempt may begin. */
  #isReady(): Promise<boolean> {
    const { state: { recorder }, needsOutcome, together } = this;
    return needsOutcome ? recorder.ready(this.name) : recorder.ready(undefined, together);
  }

  /**
   * Performs one attempt. Resolves with the outcome of the step; with "failed" once the failure of the attempt is
   * recorded; with `undefined` if the attempt does not count, because the step or the execution of the run has ended,
   * the run is cancelled, or the node stops.
   */
  async #attemptOnce(): Promise<RecordedOutcome | "failed" | undefined> {
    const { name, state } = this;
    const retry = this.#retry;
    state.activity.begin();
    state.attempts++;
    this.#hasBegun = true;
    const before = state.handedOver.get(name);
    state.handedOver.delete(name);
    const attempt = this.#attempt = before?.attempt ?? this.#newAttempt();
    const began = this.#began = before?.began ?? state.now;
    // in a later turn of the event loop, because an attempt that has ended before that turn needs no timer
    this.#due = undefined;
    state.host.soon(() => state.over || this.#limitTime(attempt, began));
    // when another node has taken the run over, it is told how an attempt ends that knows nothing of that
    const isMoot = () => state.over ? attempt.isAborted : this.isSettled;
    try {
      attempt.reports = this;
      // the previous execution of the run may have dropped what the attempt has reported
      if (attempt.reported !== undefined) attempt.reports.progress(attempt.reported);
      if (attempt.shown !== undefined && state.ends.seen <= attempt.shown.seen) {
        attempt.reports.show(attempt.shown.view, attempt);
      }
      this.#ongoing = before ?? { attempt, outcome: attempt.outcome(attempt.perform(state, name, this.#work)), began };
      const outcome = await this.#ongoing.outcome;
      if (isMoot()) return undefined;
      if (outcome.error?.retryable && !this.#failures.isLastAttempt(name, retry)) {
        throw new ReturnedFailure(outcome.error);
      }
      const done = { t: "done", step: name, outcome, ...(outcome.ok ? this.undoFlag : {}) } as const;
      state.recorder.record(done, this.together);
      return outcome;
    } catch (thrown) {
      if (isMoot()) return undefined;
      const error = readable(thrown);
      // the step is given up because the run is cancelled: the error is not recorded, since a step without `undo` that
      // is aborted may throw any error
      if (!this.needsOutcome && this.#isGivenUp()) return undefined;
      if (isCatgaError(error) && error.code === "CLOSED" && !(error instanceof DecidedFailure)) {
        state.leaving = true;
        return undefined;
      }
      await this.#failures.record(name, error, retry);
      return "failed";
    } finally {
      if (!state.over) attempt.reports = undefined; // else the next execution of the run goes on with the attempt
      this.#attempt = undefined;
      this.#ongoing = undefined;
      this.#limit?.cancel();
      this.#limit = undefined;
      state.attempts--;
      state.activity.end();
    }
  }

  /** The attempt in progress reports how far it is. */
  progress(value: unknown): void {
    this.state.recorder.progress(this.name, value, this.#began);
  }

  /** The attempt in progress shows what becomes the run's view. */
  show(view: unknown, attempt: StepAttempt): void {
    const { state } = this;
    if (state.phase !== "handler" || state.isHalting) return;
    attempt.shown = { view, seen: state.ends.seen };
    state.recorder.show({ t: "shown", view }, this.#began);
  }

  #newAttempt(): StepAttempt {
    const { name, state: { host, ref, journal } } = this;
    const { total = 0, mayHaveRun = false } = journal.failures.get(name) ?? {};
    const last = ownOf(journal.progress.get(name)?.value);
    const earlier = { fresh: this.#isFresh && total === 0, mayHaveRun: !this.#isFresh || mayHaveRun, last };
    return new StepAttempt(stepId(ref, name, journal.life), total + 1, earlier, host.log.mostBytes);
  }

  /**
   * Aborts an attempt that goes on when `timeout` ms have passed since `began`, the time at which it began. An attempt
   * whose time passed while this process stood still gets so much time again, once, at most `timeout` ms: it may have
   * blocked the process and go on behind that, or what it waits for may lie unread in the sockets.
   */
  #limitTime(attempt: StepAttempt, began: number): void {
    const { name, state } = this;
    if (this.#attempt !== attempt) return;
    const timeout = this.#timeout;
    const { clock } = state.host;
    const due = this.#due ??= clock.monotonic() + Math.max(0, began + timeout + attempt.extended - state.now);
    const left = Math.max(0, due - clock.monotonic());
    const isOver = () => {
      const now = clock.monotonic();
      if (attempt.extended === 0 && stoodStill(now, due)) {
        attempt.extended = now - due + Math.min(timeout, now - due);
        this.#due = undefined;
        return this.#limitTime(attempt, began);
      }
      attempt.abort(new CatgaError("TIMEOUT", `an attempt of ${name} took longer than ${timeout} ms`));
    };
    // the timers of an execution end with it
    this.#limit = state.over ? clock.after(left, isOver, { background: true }) : state.activity.timer(left, isOver);
  }

  /**
   * Gives the step up (its call never settles) if the run is cancelled, except if an attempt of the step may have begun
   * and the step has an `undo`. Returns true if the step is given up.
   */
  #isGivenUp(): boolean {
    const { phase, journal } = this.state;
    if (journal.cancelled === undefined || phase !== "handler") return false;
    if (this.needsOutcome && this.mayHaveBegun) return false;
    this.giveUp();
    return true;
  }
}
