/**
 * The time that a run may take, by the `timeout` of its workflow. A timer of the drive cancels the run when it is over;
 * while the run is suspended, a schedule does. It does not count for a run that is cancelled or fails.
 */
import type { Timer } from "../ports/clock.ts";
import type { DriveState } from "./drive_state.ts";
import { TIME_OUT } from "./journal.ts";

/** The time limit of the run of a drive. */
export class RunTimeLimit {
  readonly #state: DriveState;
  #timer: Timer | undefined;

  constructor(state: DriveState) {
    this.#state = state;
  }

  /** Cancels the run if its time is over; else a timer does. */
  start(): void {
    const state = this.#state;
    const { started, startedAt } = state.journal;
    // also of a run that is cancelled
    if (!state.isFresh && started?.timeout) state.times.mayBeScheduled(TIME_OUT, startedAt + started.timeout);
    const deadline = this.#deadline;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (deadline === undefined) return;
    const left = deadline - state.now;
    if (left > 0 && !state.times.hasFired(TIME_OUT, deadline)) {
      this.#timer = state.activity.timer(left, () => this.start(), true);
      return;
    }
    const reason = `${state.label} took longer than ${state.journal.started!.timeout} ms`;
    state.recorder.record({ t: "cancelled", code: "TIMEOUT", reason, by: state.host.endpoint });
    state.recorder.after(() => state.hasNews());
  }

  /** The schedule of the limit has fired, by the clock of the server. */
  scheduleFired(): void {
    if (this.#timer !== undefined) this.start();
  }

  /** Returns true if the drive may be suspended: a schedule ends the time, or nothing does. */
  get isKept(): boolean {
    const { times, journal: { limited: scheduled } } = this.#state;
    // one that came too early does not come again: the store may say that the run was started later
    return this.#deadline === undefined || times.isScheduled(TIME_OUT, { scheduled }) || times.isStuck(TIME_OUT);
  }

  /** Stores the schedule that ends the time while the run is suspended. */
  schedule(): void {
    const { activity, times, recorder, journal } = this.#state;
    const deadline = this.#deadline!;
    const { limited } = journal;
    activity.work(async () => {
      if (await times.wake(TIME_OUT, deadline) && !limited) recorder.record({ t: "limited" });
    });
  }

  /** When the time is over, in ms since 1970; `undefined`: there is no limit, or it does not count any more. */
  get #deadline(): number | undefined {
    const { started, startedAt, cancelled, failing, ended } = this.#state.journal;
    if (cancelled !== undefined || failing !== undefined || ended !== undefined) return undefined;
    return started!.timeout && startedAt + started!.timeout;
  }
}
