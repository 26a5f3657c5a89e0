/**
 * A step that the handler, or an `undo`, has called. The call waits until the step's outcome is recorded; then the
 * caller continues with the outcome (`ends.ts`). `attempted_step.ts` and `child_step.ts` produce the outcome.
 */
import { CatgaError } from "../../error.ts";
import type { DriveState, PendingCall } from "./drive_state.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import type { OngoingAttempt } from "./step_attempt.ts";

/** Parameters with which a step was called. */
export interface CalledStep {
  readonly name: string;
  /** True if the handler called the step, false if an `undo` did. */
  readonly isMain: boolean;
  /** True if the step was called with an option `undo`. */
  readonly hasUndo: boolean;
  /**
   * True if a cancelled run has to wait for the outcome of the step, because the step may have to be undone. False for
   * a child run, which undoes its steps itself.
   */
  readonly needsOutcome: boolean;
  /** For a step of a list (`flow.map`): number of its outcomes that are stored together; `undefined`: another step. */
  readonly together?: number | undefined;
  /** Returns the outcome to the caller of the step. */
  settle(outcome: RecordedOutcome): void;
}

/**
 * A step that has no outcome yet.
 * @decides the common base of steps: a call that waits until its outcome is recorded
 */
export abstract class StepCall implements PendingCall {
  readonly name: string;
  readonly isMain: boolean;
  readonly needsOutcome: boolean;
  protected readonly state: DriveState;
  /**
   * The member `undo` of the entry with the outcome: recorded, because a changed handler may no longer call the step.
   */
  protected readonly undoFlag: { readonly undo?: boolean };
  protected readonly settle: (outcome: RecordedOutcome) => void;
  protected readonly together: number | undefined;
  #isOver = false;

  constructor(state: DriveState, { name, isMain, hasUndo, needsOutcome, together, settle }: CalledStep) {
    this.state = state;
    this.name = name;
    this.isMain = isMain;
    this.needsOutcome = needsOutcome;
    this.undoFlag = hasUndo ? { undo: true } : {};
    this.settle = settle;
    this.together = together;
  }

  /** True if the step has its outcome, or has been given up. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** True if this execution of the run no longer needs an outcome of the step. */
  get isSettled(): boolean {
    return this.#isOver || this.state.over || this.state.journal.outcomes.has(this.name);
  }

  /** True if an attempt of the step, or the start of its run, may have begun, in this execution or an earlier one. */
  abstract get mayHaveBegun(): boolean;

  /**
   * The attempt in progress, which the next execution of the run continues if the handler restarts; `undefined`: none.
   */
  get ongoing(): OngoingAttempt | undefined {
    return undefined;
  }

  /** Adds the step to the pending calls, and lets it continue at once if it can. */
  begin(): void {
    this.state.calls.add(this);
    this.go();
    this.state.activity.askForTurn();
  }

  go(): void {
    const { journal, ends } = this.state;
    const outcome = journal.outcomes.get(this.name);
    if (outcome === undefined) return this.proceed();
    this.abort(() => new CatgaError("CANCELLED", `${this.name} was given an outcome`));
    this.end();
    if (this.state.sees(outcome.index)) ends.deliver(this.name, () => this.settle(outcome));
    else this.state.halt();
  }

  /** Ends the step without an outcome, because the run has ended. */
  abandon(): void {
    if (this.isSettled) return;
    this.end();
    this.abort(() => new CatgaError("CANCELLED", `${this.state.label} has ended without ${this.name}`));
  }

  /**
   * Aborts the step's attempt in progress, if there is one; a child run goes on. `why` is called only for an attempt:
   * nearly all steps have none when their run ends, and an error costs its stack.
   */
  abort(_why: () => CatgaError): void {}

  /** Aborts it because another node executes the run now, unless its function cannot know: what it does then counts. */
  supersede(_why: () => CatgaError): void {}

  /**
   * Works towards an outcome of the step, if possible. Called when the step begins, and whenever entries of other
   * processes were applied.
   */
  protected abstract proceed(): void;

  protected end(): void {
    this.#isOver = true;
    this.state.calls.delete(this);
    this.state.times.cancel(this.name);
  }

  /**
   * Gives the step up: its call never settles. It stays among the pending calls, so that the execution of the run can
   * be suspended.
   */
  protected giveUp(): void {
    this.#isOver = true;
  }
}
