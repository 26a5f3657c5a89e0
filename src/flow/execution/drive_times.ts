/**
 * The times of a run: the ends of sleeps and waits, the next attempts after failed ones, the time limit. Each belongs
 * to a step, sleep or wait by its name, and is in one state of a table ({@link TIME_STATES}). This file alone asks
 * whether a time is over, starts the timers of this node, and stores the schedules.
 */
import { SparseMap } from "../../data/sparse.ts";
import type { Timer } from "../../ports/clock.ts";
import type { Activity } from "./activity.ts";
import type { DriveHost, DueTime } from "./drive_host.ts";
import type { Journal, Timed } from "../stored/journal.ts";
import type { RecordedError } from "../stored/journal_entry.ts";
import { isUnstored, recorded } from "../stored/recorded_error.ts";
import type { RunRef } from "../stored/run_ref.ts";
import { HOLD } from "./wait_times.ts";

/** A time of a run, and what its state depends on. */
interface RunTime extends Pick<Timed, "until" | "scheduled"> {
  /** The latest time for which a schedule of the step was set that has fired; `undefined`: none has fired. */
  readonly fired: number | undefined;
  readonly now: number;
}

/** A state of a time of a run. */
interface TimeRow {
  /** Returns true in this state, unless an earlier one of the table is true. */
  readonly is: (time: RunTime) => boolean;
  /** By whom or what the time ends. */
  readonly endedBy: "nobody" | "an operator" | "its schedule" | "a timer of this node";
  /** True if the run stays in memory until then. */
  readonly holds: boolean;
}

/** The states of a time of a run: the first row that is true. All times in ms since 1970. */
export const TIME_STATES = {
  /** There is no time: the step is stuck, and an operator decides. */
  stuck: { is: ({ until }) => until === undefined, endedBy: "an operator", holds: false },
  /** By the clock of this node, or by that of the server. */
  over: { is: ({ until, fired, now }) => until! <= now || fired! >= until!, endedBy: "nobody", holds: false },
  /**
   * A schedule is stored. If one has fired too early, the state is "ticking": a node that no longer executes the run
   * may have replaced the schedule, which does not fire again.
   */
  scheduled: { is: ({ scheduled, fired }) => scheduled && fired === undefined, endedBy: "its schedule", holds: false },
  /** {@link DriveTimes.wait} starts the timer. */
  ticking: { is: () => true, endedBy: "a timer of this node", holds: true },
} as const satisfies Record<string, TimeRow>;

/** Name of a state of {@link TIME_STATES}. */
export type TimeState = keyof typeof TIME_STATES;

/** Returns the state of a time of a run. */
export function stateOf(time: RunTime): TimeState {
  return STATE_NAMES.find((state) => TIME_STATES[state].is(time))!; // safe: the last row is always true
}

const STATE_NAMES = Object.keys(TIME_STATES) as readonly TimeState[]; // the keys of the table, in their order

/** Dependencies of {@link DriveTimes}, the schedules and pauses of a run, on the execution of the run. */
export interface TimedDrive {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly journal: Journal;
  readonly activity: Activity;
  /** Records that a step is stuck: an operator has to decide. */
  refuse(step: string, error: RecordedError): void;
}

/**
 * The times of one execution of a run: schedules and pauses.
 * @decides the times of a run's execution: sleeps, pauses, by whose clock they are due
 */
export class DriveTimes {
  readonly #host: DriveHost;
  readonly #ref: RunRef;
  readonly #journal: Journal;
  readonly #activity: Activity;
  readonly #refuse: (step: string, error: RecordedError) => void;
  /** By step: the latest time for which a schedule was set that has fired, in ms since 1970 by the server's clock. */
  readonly #due = new SparseMap<string, number>();
  /** By step: the time for which this execution has stored a schedule, in ms since 1970. */
  readonly #woken = new SparseMap<string, number>();
  /**
   * By step: the time for which an earlier execution may have stored a schedule without recording it, in ms since 1970.
   */
  readonly #unrecorded = new SparseMap<string, number>();
  readonly #givenBack: Promise<string | undefined>[] = [];
  /** By step: the timer of this node that ends its time. */
  readonly #timers = new SparseMap<string, Timer>();

  /**
   * `unrecorded`: the previous execution's {@link DriveTimes.unrecorded}, schedules that may be stored without being
   * recorded.
   */
  constructor(
    { host, ref, journal, activity, refuse }: TimedDrive,
    { due, unrecorded }: { readonly due: readonly DueTime[]; readonly unrecorded: ReadonlyMap<string, number> },
  ) {
    this.#host = host;
    this.#ref = ref;
    this.#journal = journal;
    this.#activity = activity;
    this.#refuse = refuse;
    for (const [step, at] of unrecorded) this.#unrecorded.set(step, at);
    for (const one of due) this.timerFired(one);
  }

  /** Notes that a schedule of the run has fired, for this time of the step. */
  timerFired({ step, at }: DueTime): void {
    // any process may claim that a schedule has fired, so the time counts only if it is at most `MAX_AHEAD` ms ahead of
    // this node's clock
    const time = Math.min(at, this.#host.clock.now() + MAX_AHEAD);
    this.#due.set(step, Math.max(time, this.#due.get(step) ?? 0));
  }

  /** The schedules of the run that are known to have fired. */
  get due(): readonly DueTime[] {
    return [...this.#due].map(([step, at]) => ({ step, at }));
  }

  /** Notes that an earlier execution of the run may have stored a schedule for this time without recording it. */
  mayBeScheduled(step: string, at: number): void {
    this.#unrecorded.set(step, Math.max(at, this.#unrecorded.get(step) ?? 0));
  }

  /** Times of schedules that may be stored without being recorded, in ms since 1970, by step. */
  get unrecorded(): ReadonlyMap<string, number> {
    const times = new Map(this.#unrecorded);
    for (const [step, at] of this.#woken) times.set(step, Math.max(at, times.get(step) ?? 0));
    return times;
  }

  /** Steps that may have a schedule which no entry records, and which fires later than `FIRES` ms from now. */
  get unrecordedLate(): readonly string[] {
    if (this.#unrecorded.size + this.#woken.size === 0) return [];
    const { unrecorded } = this;
    const late = this.#host.clock.now() + FIRES;
    const recorded = new Set(this.#journal.schedulesAfter(late));
    return [...unrecorded].flatMap(([step, at]) => at > late && !recorded.has(step) ? [step] : []);
  }

  /** Resolves with the names of the steps whose schedules {@link DriveTimes.giveBack} has stored. */
  get givenBack(): Promise<readonly string[]> {
    return Promise.all(this.#givenBack).then((steps) => steps.filter((step) => step !== undefined));
  }

  /**
   * Steps that may have a schedule which fires later than `FIRES` ms from now; it is removed when the run has ended.
   */
  get late(): readonly string[] {
    return [...this.#journal.schedulesAfter(this.#host.clock.now() + FIRES), ...this.unrecordedLate];
  }

  /**
   * Returns true if a schedule of the step is stored and has not fired. `scheduled`: the journal says that one was
   * stored.
   */
  isScheduled(step: string, { scheduled }: { readonly scheduled: boolean }): boolean {
    return scheduled && !this.#due.has(step);
  }

  /**
   * Returns the state of a step's time. If it is "ticking", `then` is called when the time may be over, unless
   * {@link DriveTimes.cancel} is called before. `background`: the run need not stay in memory for that.
   */
  wait(step: string, timed: Pick<Timed, "until" | "scheduled">, then: () => void, background = false): TimeState {
    const state = this.#stateOf(step, timed);
    if (state === "over") this.cancel(step);
    if (!TIME_STATES[state].holds || this.#timers.has(step)) return state;
    const timer = this.#activity.timer(timed.until! - this.#host.clock.now(), () => {
      this.#timers.delete(step);
      then();
    }, background);
    this.#timers.set(step, timer);
    return state;
  }

  /** Like {@link DriveTimes.wait}, for the pause before the next attempt of a step: "over" if none has failed. */
  pause(step: string, then: () => void): TimeState {
    const failures = this.#journal.failures.get(step);
    if (failures !== undefined) return this.wait(step, { until: failures.next, scheduled: failures.scheduled }, then);
    this.cancel(step);
    return "over";
  }

  /** Cancels the timer of this node that ends the step's time, if there is one. */
  cancel(step: string): void {
    this.#timers.get(step)?.cancel();
    this.#timers.delete(step);
  }

  /**
   * Stores a schedule for a time for which a run does not stay in memory, because it is far away. Resolves with what is
   * to be recorded of that; with `undefined` as {@link DriveTimes.wake} resolves with `false`.
   */
  async keep(step: string, at: number): Promise<{ readonly scheduled?: true } | undefined> {
    if (at - this.#host.clock.now() <= HOLD) return {};
    return await this.wake(step, at) ? { scheduled: true } : undefined;
  }

  /**
   * Stores a schedule that fires at `at`, in ms since 1970, and tries until it is stored. Resolves with `false` if the
   * execution of the run ends before, or if the server refuses the schedule: then the run is stuck.
   */
  async wake(step: string, at: number): Promise<boolean> {
    this.#due.delete(step); // forgets a schedule that fired too early
    this.#woken.set(step, at);
    try {
      await this.#activity.insist(() => this.#host.wake(this.#ref, step, Math.ceil(at)), isUnstored);
    } catch (error) {
      this.#refuse(step, recorded(error));
      return false;
    }
    return !this.#activity.isOver;
  }

  isStuck(step: string): boolean {
    const failures = this.#journal.failures.get(step);
    return failures !== undefined && failures.next === undefined;
  }

  /**
   * Stores the schedules of this execution again, for the times that the journal says. Called when another node has
   * taken the run over: this node's schedules may have replaced that node's, and may fire later.
   */
  giveBack(): void {
    const { failures, sleeps, waits, ended } = this.#journal;
    if (ended !== undefined) return; // the schedules of a run that has ended are removed
    for (const step of this.#woken.keys()) {
      const at = failures.get(step)?.next ?? sleeps.get(step)?.until ?? waits.get(step)?.until;
      if (at === undefined) continue;
      // the schedule is set to a second from now at the earliest, because the log publishes a message that is due
      // already only once for each id. If it cannot be stored, the schedule that it would replace fires
      const time = Math.max(at, this.#host.clock.now() + 1_000);
      this.#givenBack.push(this.#host.wake(this.#ref, step, time).then(() => step, () => undefined));
    }
  }

  #stateOf(step: string, { until, scheduled }: Pick<Timed, "until" | "scheduled">): TimeState {
    return stateOf({ until, scheduled, fired: this.#due.get(step), now: this.#host.clock.now() });
  }
}

/**
 * How far a node's clock may be behind the server's, in ms; a node whose clock is further behind waits longer than
 * needed.
 */
const MAX_AHEAD = 60_000;
/**
 * Time from now, in ms, after which a schedule counts as one that fires late, and is removed. A schedule that fires
 * earlier stays, because its firing has no effect.
 */
const FIRES = 600_000;
