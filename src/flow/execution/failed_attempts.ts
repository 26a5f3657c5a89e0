/**
 * Failed attempts in one execution of a run: of steps, of `undo` functions, and of the handler, whose name is empty.
 * Each failure is recorded with the time of the next attempt; after the last attempt, the run is stuck, and an operator
 * has to decide.
 */
import { isFailure } from "../../contract/calls/result.ts";
import { doubled } from "../../ports/clock.ts";
import { isUndo } from "../stored/journal.ts";
import type { NextAttempt, RecordedError } from "../stored/journal_entry.ts";
import { noteAttempt } from "./drive_recorder.ts";
import { type DriveState, isMisuse } from "./drive_state.ts";
import { causeOf, DecidedFailure, recorded, ReturnedFailure, TransientError } from "../stored/recorded_error.ts";

/** How a step is tried again: number of attempts, and the pauses between them. */
export interface StepRetry {
  /** Maximum number of attempts, the first included. */
  readonly attempts: number;
  /** Pauses between attempts, in ms: the first pause, doubled by each failure up to the longest. */
  readonly delay: readonly [first: number, longest: number];
}

/** Records failed attempts of steps, of `undo` functions and of the handler. */
export class FailedAttempts {
  readonly #state: DriveState;

  constructor(state: DriveState) {
    this.#state = state;
  }

  /**
   * Returns true if the attempt in progress is the last one, so that even a retryable failure is the outcome of the
   * step.
   */
  isLastAttempt(name: string, { attempts }: Pick<StepRetry, "attempts">): boolean {
    return (this.#state.journal.failures.get(name)?.attempts ?? 0) + 1 >= attempts;
  }

  /** Returns true if an attempt that failed with this error is the last one. */
  isLast(name: string, error: unknown, attempts: number): boolean {
    if (error instanceof DecidedFailure || isMisuse(error)) return true;
    return !(error instanceof TransientError) && this.isLastAttempt(name, { attempts });
  }

  /**
   * Records that a step, or an `undo`, is stuck, if it has no attempt left: a node from which the run was taken over
   * has told of its last one, and did not decide that. Returns false if another attempt may begin.
   */
  refuses(name: string, { attempts: most }: Pick<StepRetry, "attempts">): boolean {
    const { journal, recorder } = this.#state;
    const { tried, attempts, error } = journal.failures.get(name) ?? NONE;
    if (error === undefined || (tried !== "never" && (tried !== "limited" || attempts < most))) return false;
    recorder.refuse(name, error, undefined, "tried");
    return true;
  }

  /**
   * Returns the retryable failure that is the outcome of a step, because a node from which the run was taken over has
   * told that its last attempt has returned that; `undefined`: another attempt may begin.
   */
  returned(name: string, { attempts: most }: Pick<StepRetry, "attempts">): RecordedError | undefined {
    const { tried, attempts, error } = this.#state.journal.failures.get(name) ?? NONE;
    return tried === "returned" && attempts >= most ? error : undefined;
  }

  /** Returns what follows an attempt that failed with this error, whichever node decides it. */
  #following(name: string, error: unknown): NextAttempt {
    // an `undo` that returns a failure leaves the run stuck in the end
    if (error instanceof ReturnedFailure) return isUndo(name) ? "limited" : "returned";
    return error instanceof TransientError ? "always" : this.isLast(name, error, Infinity) ? "never" : "limited";
  }

  /**
   * Records a failed attempt of a step, of an `undo`, or of the handler (empty `name`), and when the next attempt
   * follows. `thrown`: the error that the attempt threw, or the failure that it returned. Resolves when the entry is
   * stored, or the execution of the run has ended.
   * @decides a failed step is tried again, or leaves the run stuck
   */
  async record(name: string, thrown: unknown, { attempts, delay: [first, longest] }: StepRetry): Promise<void> {
    const state = this.#state;
    const error = isFailure(thrown) ? thrown.error : thrown;
    const { clock, app: { random, observer } } = state.host;
    const failures = state.journal.failures.get(name);
    const count = (failures?.attempts ?? 0) + 1;
    const transient = error instanceof TransientError;
    const what = { ...recorded(error), ...(state.host.app.causes ? causeOf(error) : {}) };
    const following = this.#following(name, error);
    if (state.over) {
      // another node executes the run, and decides what follows
      const failed = state.recorder.failedAttempt(name, what);
      noteAttempt(failed, following, failureOf(error));
      return state.recorder.record(failed);
    }
    if (this.isLast(name, error, attempts)) {
      state.recorder.refuse(name, what, error, following);
      await state.recorder.stored();
      return;
    }
    // a service is out of reach, and will be back at some time: pauses grow with the time since the first failure
    const lasted = failures === undefined || failures.attempts === 0 ? 0 : clock.now() - failures.first;
    const pause = transient ? Math.min(longest, Math.max(first, lasted / 5)) : doubled(count - 1, first, longest);
    const next = clock.now() + pause * (0.75 + random() / 4);
    const kept = await state.times.keep(name, next);
    if (kept === undefined) return;
    const failed = { ...state.recorder.failedAttempt(name, what), next, ...kept };
    noteAttempt(failed, following, failureOf(error));
    state.recorder.record(failed);
    if (!await state.recorder.stored()) return;
    // an outage is reported once, because it may last for days, and affects each run
    if (transient && failures?.error.code === what.code) return;
    const { code, message } = what;
    const attempt = (failures?.total ?? 0) + 1;
    observer({ type: "run-failed", ...state.ref, step: name, attempt, code, message, pause, error });
  }
}

/** Returns the whole failure that an attempt has returned, details included; `undefined`: it has returned none. */
function failureOf(error: unknown): RecordedError | undefined {
  return error instanceof ReturnedFailure ? (error as ReturnedFailure).failure : undefined;
}

const NONE = { tried: undefined, attempts: 0, error: undefined } as const;
