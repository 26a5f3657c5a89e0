/**
 * A step that the handler, or an `undo`, has called: it waits until the journal has its outcome, then the caller goes
 * on with that in its turn (`ends.ts`). How it comes to an outcome: `attempted_step.ts`, `child_step.ts`.
 */
import { CatgaError } from "../error.ts";
import type { DriveState, PendingCall } from "./drive_state.ts";
import type { RecordedOutcome } from "./journal.ts";
import type { OngoingAttempt } from "./step_attempt.ts";

/** How a step was called. */
export interface CalledStep {
  readonly name: string;
  /** By the handler itself, not by an `undo`. */
  readonly isMain: boolean;
  /** With an `undo`, by the handler. */
  readonly hasUndo: boolean;
  /** A cancelled run waits for its outcome: there may be something to undo, which a child does itself. */
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
  /** What is recorded with it: a handler that was changed may not call it any more. */
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

  /** It has its outcome, or is given up. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Returns true if this drive needs no outcome of it any more. */
  get isSettled(): boolean {
    return this.#isOver || this.state.over || this.state.journal.outcomes.has(this.name);
  }

  /** The attempt under way, for a handler that restarts. */
  get ongoing(): OngoingAttempt | undefined {
    return undefined;
  }

  /** Waits from now on, if it cannot go on at once. */
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

  /** The run has ended without it. */
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

  /** Goes on towards an outcome, if it may. Called again after news. */
  protected abstract proceed(): void;

  protected end(): void {
    this.#isOver = true;
    this.state.calls.delete(this);
  }

  /** It waits for nothing, and never settles: the drive may rest, and news find it still. */
  protected giveUp(): void {
    this.#isOver = true;
  }
}
