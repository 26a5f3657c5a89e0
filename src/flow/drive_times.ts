/**
 * The times of a drive: schedules that have fired, schedules that the drive stores, and the pauses after failed
 * attempts.
 */
import type { Activity } from "./activity.ts";
import type { DriveHost, DueTime } from "./drive_host.ts";
import type { Journal, RecordedError } from "./journal.ts";
import { recorded, UNSTORED } from "./recorded_error.ts";
import type { RunRef } from "./run_ref.ts";

/** The part of a drive that its {@link DriveTimes} use. */
export interface TimedDrive {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly journal: Journal;
  readonly activity: Activity;
  /** Records that an operator has to decide about a step. */
  refuse(step: string, error: RecordedError): void;
}

/** The times of a drive. */
export class DriveTimes {
  readonly #host: DriveHost;
  readonly #ref: RunRef;
  readonly #journal: Journal;
  readonly #activity: Activity;
  readonly #refuse: (step: string, error: RecordedError) => void;
  /** The latest time of a schedule that has fired, by step, by the clock of the server, in ms since 1970. */
  readonly #due = new Map<string, number>();
  /** Times of the schedules that this drive has stored, in ms since 1970, by step. */
  readonly #woken = new Map<string, number>();
  /** Times of schedules that an earlier drive may have stored without recording them, in ms since 1970, by step. */
  readonly #unrecorded = new Map<string, number>();

  constructor({ host, ref, journal, activity, refuse }: TimedDrive, due: readonly DueTime[]) {
    this.#host = host;
    this.#ref = ref;
    this.#journal = journal;
    this.#activity = activity;
    this.#refuse = refuse;
    for (const one of due) this.timerFired(one);
  }

  /** Notes that a schedule has fired. */
  timerFired({ step, at }: DueTime): void {
    // any node may report a firing: a time far ahead of this node's clock is waited for here
    const time = Math.min(at, this.#host.clock.now() + MAX_AHEAD);
    this.#due.set(step, Math.max(time, this.#due.get(step) ?? 0));
  }

  /** Schedules that have fired. */
  get due(): readonly DueTime[] {
    return [...this.#due].map(([step, at]) => ({ step, at }));
  }

  /** Notes that an earlier drive, whose process has died, may have stored a schedule for this time. */
  mayBeScheduled(step: string, at: number): void {
    this.#unrecorded.set(step, at);
  }

  /**
   * Returns the steps that may have a schedule which fires after this time, in ms since 1970; a run may end before its
   * schedules are recorded.
   */
  schedulesAfter(time: number): readonly string[] {
    return [...this.#unrecorded, ...this.#woken].flatMap(([step, at]) => at > time ? [step] : []);
  }

  /** Returns true if the step's schedule for this time, or for a later time, has fired. */
  hasFired(step: string, time: number | undefined): boolean {
    return time !== undefined && (this.#due.get(step) ?? -1) >= time;
  }

  /**
   * Returns true if a schedule of the step is stored and has not fired. If one has fired, even too early, none is
   * left: a node that had lost the run may have replaced the schedule with an earlier one.
   */
  isScheduled(step: string, { scheduled }: { readonly scheduled: boolean }): boolean {
    return scheduled && !this.#due.has(step);
  }

  /**
   * Stores a schedule, and retries until it is stored. Resolves with `false` if the drive ends before that, or if the
   * server refuses the schedule: the run is stuck then.
   */
  async wake(step: string, at: number): Promise<boolean> {
    this.#due.delete(step); // a schedule fired too early
    this.#woken.set(step, at);
    try {
      await this.#activity.insist(() => this.#host.wake(this.#ref, step, Math.ceil(at)), UNSTORED);
    } catch (error) {
      this.#refuse(step, recorded(error));
      return false;
    }
    return !this.#activity.isOver;
  }

  /** Returns the time until the next attempt of a step may begin, in ms; `Infinity`: an operator has to decide. */
  pauseOf(step: string): number {
    const failures = this.#journal.failures.get(step);
    if (failures === undefined || this.hasFired(step, failures.next)) return 0;
    return failures.next === undefined ? Infinity : Math.max(0, failures.next - this.#host.clock.now());
  }

  isStuck(step: string): boolean {
    return this.pauseOf(step) === Infinity;
  }

  /**
   * Stores the run's schedules again for the node that drives it now: this drive's may have replaced them, and fire
   * later.
   */
  giveBack(): void {
    const { failures, sleeps, waits, ended } = this.#journal;
    if (ended !== undefined) return; // the run's schedules are removed
    for (const step of this.#woken.keys()) {
      const at = failures.get(step)?.next ?? sleeps.get(step)?.until ?? waits.get(step)?.until;
      if (at === undefined) continue;
      // later than now: a message that is due already is published only once for its id. If this schedule is not
      // stored, the one that this drive stored fires
      this.#host.wake(this.#ref, step, Math.max(at, this.#host.clock.now() + 1_000)).catch(() => {});
    }
  }
}

/** Maximum lag of a node's clock behind the server's, in ms: a node that lags further waits. */
const MAX_AHEAD = 60_000;
