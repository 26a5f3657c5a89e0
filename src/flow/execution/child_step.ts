/**
 * A step that starts another run (its child), and waits until an entry reports the child's end. When the run is
 * cancelled, there are three cases. A child that was started is cancelled, too, and reports its end. If an execution of
 * the run may have tried to start the child, but the store does not have it, it is stored as ended, so that it can
 * never be started later. If certainly no execution has tried, nothing is stored. In the last two cases the step is
 * given up: its call never settles.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { DriveState } from "./drive_state.ts";
import type { Parent } from "../stored/journal_entry.ts";
import { CatgaError } from "../../error.ts";
import { recorded, TRANSIENT } from "../stored/recorded_error.ts";
import type { RunRef } from "../stored/run_ref.ts";
import { stepId } from "./step_attempt.ts";
import { type CalledStep, StepCall } from "./step_call.ts";

/**
 * A step that waits for the end of another run.
 * @decides `flow.start`: a child run, how its parent learns of its end, and whether it is cancelled with its parent
 */
export class ChildStep extends StepCall {
  readonly #contract: AnyContract;
  readonly #input: unknown;
  /** True while the child is being started or cancelled. */
  #isUnderWay = false;
  /** True if this execution of the run has cancelled the child. */
  #isCancelled = false;
  /** True if no earlier execution of the run can have tried to start the child. */
  readonly #isFresh: boolean;
  /** True if this execution of the run has tried to start the child. */
  #hasBegun = false;

  constructor(state: DriveState, called: CalledStep, contract: AnyContract, input: unknown) {
    super(state, called);
    this.#contract = contract;
    this.#input = input;
    this.#isFresh = state.isFresh;
  }

  override get mayHaveBegun(): boolean {
    return this.#hasBegun || !this.#isFresh;
  }

  /**
   * The child of this step: the run that is recorded for the step, even if a changed handler would start another run.
   */
  get #child(): RunRef {
    const { ref, journal } = this.state;
    const { workflow = this.#contract.name } = journal.children.get(this.name) ?? {};
    return { workflow, run: stepId(ref, this.name, journal.life) };
  }

  /** True if the run is cancelled, and this step's child has not been cancelled yet. */
  get #mustCancel(): boolean {
    return this.state.journal.cancelled !== undefined && !this.#isCancelled && this.isMain;
  }

  /**
   * Cancels the child, if it may have been started, because the run begins anew and no longer waits for it; otherwise
   * it is not started any more. Resolves when the child is cancelled, or the execution of the run has ended.
   */
  async cancelForGood(reason: string): Promise<void> {
    if (this.isSettled) return;
    if (!this.mayHaveBegun) return this.end();
    const { activity, host } = this.state;
    await activity.insist(() => host.cancelChild(this.#child, reason, this.#contract));
  }

  protected override proceed(): void {
    const { name, state, state: { journal } } = this;
    const child = this.#child;
    if (this.isOver || this.#isUnderWay || (journal.children.has(name) && !this.#mustCancel)) return;
    if (state.times.isStuck(name) && !this.#mustCancel && !journal.wasTold(name, child)) return;
    if (this.#isGivenUp()) return;
    this.#isUnderWay = true;
    state.activity.work(async () => {
      try {
        if (!await state.recorder.ready(this.needsOutcome ? name : undefined) || this.#isGivenUp() || this.isOver) {
          return;
        }
        if (this.#mustCancel && !journal.wasTold(name, child)) await this.#cancel(child);
        else if (!state.isTooLong()) await this.#start(child);
      } finally {
        this.#isUnderWay = false;
        const goesOn = !state.leaving && (this.#mustCancel || journal.wasTold(name, child));
        if (!state.over && (journal.outcomes.has(name) || goesOn)) this.go();
      }
    });
  }

  /**
   * Gives the step up (its call never settles) if the run is cancelled, and certainly no execution of the run has tried
   * to start the child. Returns true if the step is given up.
   */
  #isGivenUp(): boolean {
    const { state, state: { journal, phase } } = this;
    if (journal.cancelled === undefined || phase !== "handler" || this.mayHaveBegun) return false;
    if (journal.wasTold(this.name, this.#child)) return false;
    this.end();
    state.halt();
    return true;
  }

  async #cancel(child: RunRef): Promise<void> {
    const { state, state: { activity, host } } = this;
    this.#isCancelled = true;
    const { message } = state.journal.cancelled!.error;
    const hasStarted = await activity.insist(() => host.cancelChild(child, message, this.#contract));
    if (hasStarted ?? true) return;
    // the child was never started, so there is nothing to undo
    this.end();
    state.halt();
  }

  async #start(child: RunRef): Promise<void> {
    const { name, state, state: { journal, recorder } } = this;
    state.attempts++;
    const starting = journal.wasTold(name, child) ? { ok: true } as const : this.#startRun(child);
    const started = await Promise.resolve(starting).finally(() => state.attempts--);
    if (state.over || journal.outcomes.has(name) || journal.children.has(name)) return;
    if (started.ok) {
      recorder.record({ t: "child", step: name, ...child, ...this.undoFlag }, this.together);
      recorder.after(() => this.go()); // the child may have ended before its start was recorded
    } else if (isTemporary(started.error.code)) {
      state.activity.timer(RESTART_PAUSE, () => this.go());
    } else recorder.refuse(name, recorded(started.error));
  }

  #startRun({ run }: RunRef): Result<string> | Promise<Result<string>> {
    const { name, state: { host, ref, journal, carried } } = this;
    this.#hasBegun = true;
    const parent: Required<Parent> = { ...ref, step: name, depth: 1 + (journal.started!.parent?.depth ?? 0) };
    if (parent.depth >= MAX_DEPTH) return { ok: false, error: nestedTooDeep() };
    return host.startChild(this.#contract, run, this.#input, parent, carried);
  }
}

/**
 * Returns true if a start that failed with this code is tried again. `NO_HANDLER` is final here, unlike for a message:
 * a start fails with it only where no other node can have the handler.
 */
function isTemporary(code: string): boolean {
  return code === "OUTCOME_UNKNOWN" || (TRANSIENT.has(code) && code !== "NO_HANDLER");
}

function nestedTooDeep(): CatgaError<never> {
  return new CatgaError(
    "INVALID_MESSAGE",
    `${MAX_DEPTH} nested runs wait for it, which is the maximum: is it an endless recursion?`,
  ) as CatgaError<never>;
}

/**
 * Maximum number of runs that wait in a chain, each for the next: a cycle of workflows grows faster than it is
 * cancelled.
 * @decides a chain of nested runs is too long
 */
const MAX_DEPTH = 1_000;
/** Pause before another attempt to start a child, in ms. */
const RESTART_PAUSE = 1_000;
