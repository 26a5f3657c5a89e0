/**
 * The times of a drive: schedules that have fired, those that it stores, and the pauses behind failed attempts.
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
  /** Records that an operator has to decide. */
  refuse(step: string, error: RecordedError): void;
}

/** The times of a drive. */
export class DriveTimes {
  readonly #host: DriveHost;
  readonly #ref: RunRef;
  readonly #journal: Journal;
  readonly #activity: Activity;
  readonly #refuse: (step: string, error: RecordedError) => void;
  /** Times that have come, by the clock of the server: by step, the latest, in ms since 1970. */
  readonly #due = new Map<string, number>();
  /** When schedules fire that this drive has stored, in ms since 1970, by step. */
  readonly #woken = new Map<string, number>();
  /** When schedules fire that a drive before this one may have stored without having recorded it. */
  readonly #unrecorded = new Map<string, number>();

  constructor({ host, ref, journal, activity, refuse }: TimedDrive, due: readonly DueTime[]) {
    this.#host = host;
    this.#ref = ref;
    this.#journal = journal;
    this.#activity = activity;
    this.#refuse = refuse;
    for (const one of due) this.timerFired(one);
  }

  /** A schedule has fired. */
  timerFired({ step, at }: DueTime): void {
    // any node may say so: what is far ahead of this node's clock is waited for here
    const time = Math.min(at, this.#host.clock.now() + MAX_AHEAD);
    this.#due.set(step, Math.max(time, this.#due.get(step) ?? 0));
  }

  /** Times that have come. */
  get due(): readonly DueTime[] {
    return [...this.#due].map(([step, at]) => ({ step, at }));
  }

  /** A drive before this one, whose process has died, may have stored a schedule that fires then. */
  mayBeScheduled(step: string, at: number): void {
    this.#unrecorded.set(step, at);
  }

  /**
   * Steps that may have schedules which fire after this time, in ms since 1970: an end may come before what would
   * record them.
   */
  schedulesAfter(time: number): readonly string[] {
    return [...this.#unrecorded, ...this.#woken].flatMap(([step, at]) => at > time ? [step] : []);
  }

  /** Returns true if the schedule of this time, or of a later one, has fired. */
  hasFired(step: string, time: number | undefined): boolean {
    return time !== undefined && (this.#due.get(step) ?? -1) >= time;
  }

  /**
   * Whether a schedule is still to come: one that came too early, of a node that had lost the run, has taken its place.
   */
  isScheduled(step: string, { scheduled }: { readonly scheduled: boolean }): boolean {
    return scheduled && !this.#due.has(step);
  }

  /**
   * Stores a schedule, however often that takes. Resolves with `false` when the drive is over before, and when the
   * server cannot: the run is stuck then.
   */
  async wake(step: string, at: number): Promise<boolean> {
    this.#due.delete(step); // it came too early
    this.#woken.set(step, at);
    try {
      await this.#activity.insist(() => this.#host.wake(this.#ref, step, Math.ceil(at)), UNSTORED);
    } catch (error) {
      this.#refuse(step, recorded(error));
      return false;
    }
    return !this.#activity.isOver;
  }

  /** How long until an attempt may follow those that failed, in ms; `Infinity`: an operator has to decide. */
  pauseOf(step: string): number {
    const failures = this.#journal.failures.get(step);
    if (failures === undefined || this.hasFired(step, failures.next)) return 0;
    return failures.next === undefined ? Infinity : Math.max(0, failures.next - this.#host.clock.now());
  }

  isStuck(step: string): boolean {
    return this.pauseOf(step) === Infinity;
  }

  /** Schedules of this drive may stand in the place of those of the node that has the run now, and fire later. */
  giveBack(): void {
    const { failures, sleeps, waits, ended } = this.#journal;
    if (ended !== undefined) return; // they are taken back
    for (const step of this.#woken.keys()) {
      const at = failures.get(step)?.next ?? sleeps.get(step)?.until ?? waits.get(step)?.until;
      if (at === undefined) continue;
      // later than now: what is due already is published once for its id. If it is not stored, the own schedule fires
      this.#host.wake(this.#ref, step, Math.max(at, this.#host.clock.now() + 1_000)).catch(() => {});
    }
  }
}

/** How far the clock of a node may be behind that of the server before the node waits, in ms. */
const MAX_AHEAD = 60_000;
