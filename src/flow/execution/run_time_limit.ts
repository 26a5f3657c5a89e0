/**
 * The time limit of a run, from the `timeout` of its workflow. When the time is over, the run is cancelled: by a timer
 * of the node that executes it; while the run is suspended, by a schedule. The limit does not count for a run that is
 * cancelled or fails.
 */
import type { DriveState } from "./drive_state.ts";
import { TIME_OUT } from "../stored/journal.ts";

/** The time limit of a run, during one execution of it. */
export class RunTimeLimit {
  readonly #state: DriveState;
  #isTicking = false;

  constructor(state: DriveState) {
    this.#state = state;
  }

  /** Cancels the run if its time limit has passed; otherwise starts a timer that cancels it later. */
  start(): void {
    const state = this.#state;
    const { started, startedAt } = state.journal;
    // a cancelled run notes the schedule of its time limit, too, so that the schedule is removed at the end of the run
    if (!state.isFresh && started?.timeout) state.times.mayBeScheduled(TIME_OUT, startedAt + started.timeout);
    const until = this.#deadline;
    state.times.cancel(TIME_OUT); // the wall clock may have been set since the timer was started
    this.#isTicking = false;
    if (until === undefined) return;
    // while the node executes the run, its timer cancels the run, also if a schedule is stored for a suspended run
    this.#isTicking = state.times.wait(TIME_OUT, { until, scheduled: false }, () => this.start(), true) !== "over";
    if (this.#isTicking) return;
    const reason = `${state.label} took longer than ${state.journal.started!.timeout} ms`;
    state.recorder.record({ t: "cancelled", code: "TIMEOUT", reason, by: state.host.endpoint });
    state.recorder.after(() => state.hasNews());
  }

  /**
   * Cancels the run if its time limit has passed, or sets the timer anew. Called when the schedule of the time limit
   * has fired, by the server's clock.
   */
  scheduleFired(): void {
    if (this.#isTicking) this.start();
  }

  /**
   * True if the execution of the run may be suspended: a schedule is stored for the time limit; or there is no limit;
   * or the schedule could not be stored, so that the run is stuck.
   */
  get isKept(): boolean {
    const { times, journal: { limited: scheduled } } = this.#state;
    // a schedule that fired too early does not fire again, so another one is stored. A schedule is too early if it was
    // set for an attempt to start the run before the attempt that is stored
    return this.#deadline === undefined || times.isScheduled(TIME_OUT, { scheduled }) || times.isStuck(TIME_OUT);
  }

  /** Stores the schedule that cancels the run at its time limit while it is suspended. */
  schedule(): void {
    const { activity, times, recorder, journal } = this.#state;
    const deadline = this.#deadline!;
    const { limited } = journal;
    activity.work(async () => {
      if (await times.wake(TIME_OUT, deadline) && !limited) recorder.record({ t: "limited" });
    });
  }

  /**
   * The time limit of the run, in ms since 1970; `undefined`: the run has no limit, or has been cancelled or fails
   * already.
   */
  get #deadline(): number | undefined {
    const { started, startedAt, cancelled, failing, ended } = this.#state.journal;
    if (cancelled !== undefined || failing !== undefined || ended !== undefined) return undefined;
    return started!.timeout && startedAt + started!.timeout;
  }
}
