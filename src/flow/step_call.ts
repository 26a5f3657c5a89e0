/**
 * A step that the handler, or an `undo`, has called. It waits until the journal has its outcome; then its caller
 * continues with the outcome, in a turn (`ends.ts`). `attempted_step.ts` and `child_step.ts` bring the outcome.
 */
import { CatgaError } from "../error.ts";
import type { DriveState, PendingCall } from "./drive_state.ts";
import type { RecordedOutcome } from "./journal.ts";
import type { OngoingAttempt } from "./step_attempt.ts";

/** Parameters of a step's call. */
export interface CalledStep {
  readonly name: string;
  /** True if the handler itself called the step, not an `undo`. */
  readonly isMain: boolean;
  /** True if the handler called the step with an `undo`. */
  readonly hasUndo: boolean;
  /** True if a cancelled run waits for the outcome: the step may have to be undone, which a child does itself. */
  readonly needsOutcome: boolean;
  /** Settles the call. */
  settle(outcome: RecordedOutcome): void;
}

/** A step that has no outcome yet. */
export abstract class StepCall implements PendingCall {
  readonly name: string;
  readonly isMain: boolean;
  readonly needsOutcome: boolean;
  protected readonly state: DriveState;
  /** Recorded with the outcome: a changed handler may not call the step any more. */
  protected readonly undoFlag: { readonly undo?: boolean };
  protected readonly settle: (outcome: RecordedOutcome) => void;
  #isOver = false;

  constructor(state: DriveState, { name, isMain, hasUndo, needsOutcome, settle }: CalledStep) {
    this.state = state;
    this.name = name;
    this.isMain = isMain;
    this.needsOutcome = needsOutcome;
    this.undoFlag = hasUndo ? { undo: true } : {};
    this.settle = settle;
  }

  /** True if the step has its outcome, or is given up. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** True if this drive needs no outcome of the step any more. */
  get isSettled(): boolean {
    return this.#isOver || this.state.over || this.state.journal.outcomes.has(this.name);
  }

  /** The attempt under way, which the next drive continues if the handler restarts. */
  get ongoing(): OngoingAttempt | undefined {
    return undefined;
  }

  /** Makes the step a pending call, which continues at once if it can. */
  begin(): void {
    this.state.calls.add(this);
    this.go();
    this.state.activity.askForTurn();
  }

  go(): void {
    const { journal, ends } = this.state;
    const outcome = journal.outcomes.get(this.name);
    if (outcome === undefined) return this.proceed();
    this.abort(new CatgaError("CANCELLED", `${this.name} was given an outcome`));
    this.end();
    this.endPause();
    if (this.state.sees(outcome.index)) ends.deliver(this.name, () => this.settle(outcome));
    else this.state.halt();
  }

  /** Ends the step, because the run has ended without its outcome. */
  abandon(): void {
    if (this.isSettled) return;
    this.end();
    this.abort(new CatgaError("CANCELLED", `${this.state.label} has ended without ${this.name}`));
    this.endPause();
  }

  /** Aborts the attempt that is under way, if there is one. */
  abort(_why: CatgaError): void {}

  /** Ends the pause before the next attempt, if there is one. */
  endPause(): void {}

  /** Continues towards an outcome, if possible. Called again after news of the run. */
  protected abstract proceed(): void;

  protected end(): void {
    this.#isOver = true;
    this.state.calls.delete(this);
  }

  /** Gives the step up: it never settles, and the drive may rest; it stays a pending call. */
  protected giveUp(): void {
    this.#isOver = true;
  }
}
