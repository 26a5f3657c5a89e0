/**
 * The state of a drive, and its turns. A drive advances only in its turns (`#turn`), and waits between two of them:
 * this is its only suspension point. A change of state that a turn reads requests the next turn (`activity.ts`).
 *
 * Invariants:
 * 1. The handler sees ends in the order of the journal, one in a turn, so that all calls that follow from one end have
 *    been made before the next end (`ends.ts`).
 * 2. An attempt of a step begins only when all that is recorded is stored, and the run is stored as this node's
 *    (`DriveRecorder.ready`).
 * 3. The drive rests only in a turn in which the handler has nothing to see, nothing is to be stored, and nothing goes
 *    on: no attempt, append, read or timer.
 */
import { MAX_NAME_LENGTH } from "../contract/contract.ts";
import type { WorkflowBody } from "../contract/workflow_body.ts";
import { show } from "../data/checks.ts";
import { withCarried } from "../dispatch/carried_headers.ts";
import { CatgaError } from "../error.ts";
import { Activity } from "./activity.ts";
import type { DriveHost, DueTime } from "./drive_host.ts";
import { DriveTimes } from "./drive_times.ts";
import { Ends } from "./ends.ts";
import type { Journal } from "./journal.ts";
import type { OngoingAttempts } from "./step_attempt.ts";
import { DriveRecorder } from "./drive_recorder.ts";
import type { RunRef } from "./run_ref.ts";

/**
 * How a drive ends. `completed`: the run has ended; `suspended`: all pending calls wait for something outside;
 * `superseded`: another node drives the run, or the run is gone; `restart`: decisions were dropped, or an attempt of
 * the handler failed, and the handler runs from its top; `shutdown`: the node stops; `refused`: this version of the
 * workflow does not take the run, and another version may.
 */
export type DriveEnd = "completed" | "suspended" | "superseded" | "restart" | "shutdown" | "refused";

/** Options of a drive. */
export interface DriveOptions {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly body: WorkflowBody;
  readonly journal: Journal;
  /** Schedules that have fired. */
  readonly due: readonly DueTime[];
  /** True if this node has just started the run. */
  readonly fresh?: boolean;
  /** Attempts that the previous drive handed over. */
  readonly handedOver?: OngoingAttempts;
  /** {@link DriveState.begun} of the previous drive. */
  readonly begun?: readonly string[] | undefined;
  /** Other shapes of the workflow that do not take the run. */
  readonly refusedBy?: ReadonlySet<string> | undefined;
  /** True if this node has given the run up before: another node may be about to hold it. */
  readonly gaveUp?: boolean;
}

/** A pending call of the handler, or the pause before the handler or an `undo` runs again. */
export interface PendingCall {
  /** Continues if it can. Called at the start, and again after news of the run. */
  go(): void;
}

/** Callbacks from the state of a drive to the drive. */
export interface DriveOwner {
  /** Called in a turn in which nothing is under way, and nothing is left to see or to store. */
  rest(): void;
  /** Returns true if a wait whose end is not stored could take a stored signal. */
  couldTakeSignal(): boolean;
  /** Returns the names of steps with an `undo` that the handler has called, and that have no outcome. */
  undoable(): readonly string[];
  /** Called in the turn after messages of others were applied. */
  onNews(): void;
  /** Called once, when the drive ends: aborts its attempts, with the error that `why` returns. */
  stopped(why: () => CatgaError, end: DriveEnd): void;
}

/** The state of a drive. */
export class DriveState {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly journal: Journal;
  /** Attempts of the previous drive whose steps the handler has not called yet. */
  readonly handedOver: OngoingAttempts;
  /** Resolves once, when the drive ends. */
  readonly end: Promise<DriveEnd>;
  /** Calls that the handler awaits, or an `undo` that runs now. */
  readonly calls = new Set<PendingCall>();
  /** Names of the steps, sleeps and waits that were called. */
  readonly names = new Set<string>();
  /** True if the node stops: no more attempts begin. */
  leaving = false;
  /** Number of the handler's calls that never settle, because the run is cancelled or fails. */
  halted = 0;
  /** Number of attempts of steps that are under way; each ends with an entry. */
  attempts = 0;
  /** True once a step could not begin because the run has the maximum number of entries. */
  tooLong = false;
  /** True if the run ends because it was cancelled. */
  byCancel = false;
  /** True once the handler has failed: it begins nothing more. */
  failed = false;
  /** `undoing`: `undo` functions run, and the handler's own calls are over. */
  phase: "handler" | "finishing" | "undoing" = "handler";
  /** The error of the store that ended the drive, if any. */
  error: unknown;
  /** Other shapes of the workflow that do not take the run. */
  readonly refusedBy: ReadonlySet<string>;
  /** The ends of steps, sleeps and waits. */
  readonly ends: Ends;
  /** Work of the drive that is under way: the drive does not rest while there is any. */
  readonly activity: Activity;
  /** Stores the entries of this drive, and applies those that others have stored. */
  readonly recorder: DriveRecorder;
  /** Schedules and pauses of the drive. */
  readonly times: DriveTimes;
  readonly #owner: DriveOwner;
  readonly #resolve: (end: DriveEnd) => void;
  /** True if this node has just started the run, with this drive. */
  readonly #isFirst: boolean;
  /** {@link DriveState.begun} at the start of this drive. */
  readonly #begunBefore: ReadonlySet<string> | undefined;
  /** True if messages of others were applied, and pending calls were not called since. */
  #hasNews = false;

  constructor(options: DriveOptions, owner: DriveOwner) {
    const { host, ref, journal, due, fresh = false, handedOver = new Map(), refusedBy = NO_SHAPES } = options;
    this.refusedBy = refusedBy;
    this.host = host;
    this.ref = ref;
    this.journal = journal;
    this.#isFirst = fresh;
    this.#begunBefore = options.begun === undefined ? journal.begun : new Set(options.begun);
    this.handedOver = handedOver;
    this.activity = new Activity({
      clock: host.clock,
      soon: (callback) => host.soon(callback),
      turn: () => this.#turn(),
      broken: (error) => this.broken(error),
    });
    this.ends = new Ends({ journal, names: this.names, askForTurn: () => this.activity.askForTurn() });
    this.#owner = owner;
    this.recorder = new DriveRecorder(this, options.gaveUp ?? false);
    const refuse = this.recorder.refuse.bind(this.recorder);
    this.times = new DriveTimes({ host, ref, journal, activity: this.activity, refuse }, due);
    const { promise, resolve } = Promise.withResolvers<DriveEnd>();
    this.end = promise;
    this.#resolve = resolve;
  }

  get over(): boolean {
    return this.activity.isOver;
  }

  get label(): string {
    return `run ${this.ref.run} of ${this.ref.workflow}`;
  }

  get now(): number {
    return this.host.clock.now();
  }

  /** Headers of the messages that the run's steps send; `undefined`: none. */
  get carried(): Readonly<Record<string, string>> | undefined {
    const { headers } = this.journal;
    return headers && withCarried(this.host.app.carried, headers, undefined);
  }

  /** True if the run is cancelled or failing: the handler's pending calls never settle. */
  get isHalting(): boolean {
    const { cancelled, failing } = this.journal;
    if (this.phase === "undoing") return false;
    return cancelled !== undefined || failing !== undefined || this.failed || this.recorder.isCancelling;
  }

  /**
   * True if no other drive can have begun a step that is called now. Entries that this drive has stored do not prove
   * it: the handler may still be where another drive was.
   */
  get isFresh(): boolean {
    return this.#isFirst || this.ends.isBehindOthers;
  }

  /** Names of steps with an `undo` that may have begun and have no outcome; `undefined`: unknown. */
  get begun(): readonly string[] | undefined {
    return this.isFresh || this.#begunBefore !== undefined
      ? [...this.#owner.undoable(), ...this.#notReached]
      : undefined;
  }

  /** True once the handler has called all steps with an `undo` that may have begun and have no outcome. */
  get hasReachedAllBegun(): boolean {
    return this.begun !== undefined && this.#notReached.length === 0;
  }

  get #notReached(): readonly string[] {
    const { names, journal: { outcomes } } = this;
    return [...this.#begunBefore ?? []].filter((name) => !names.has(name) && !outcomes.has(name));
  }

  /** Returns true if the handler may see the journal entry of this number. */
  sees(index: number): boolean {
    const { cancelled, failing } = this.journal;
    return this.phase === "undoing" || index < Math.min(cancelled?.index ?? Infinity, failing?.index ?? Infinity);
  }

  /** Registers the name of a step, sleep or wait. Throws a `TypeError` if the name is invalid or in use. */
  name(name: string): void {
    if (typeof name !== "string" || !/^[^@]/.test(name) || name.length > MAX_NAME_LENGTH || !name.isWellFormed()) {
      throw new TypeError(
        `the name of a step is 1 to ${MAX_NAME_LENGTH} characters, the first of which is not "@"; got ${show(name)}`,
      );
    }
    if (this.names.has(name)) {
      throw new TypeError(`${this.label} has a step ${show(name)} already: give this one another name`);
    }
    this.names.add(name);
  }

  /**
   * Returns a promise that rejects, for an invalid call of `flow`. No attempt follows: the handler's code has to
   * change.
   */
  misused(error: unknown): Promise<never> {
    MISUSES.add(error as TypeError); // safe: checks throw errors
    const rejected = Promise.reject(error);
    rejected.catch(() => {}); // without a listener, the rejection would end the process
    return rejected;
  }

  /** Adds a pending call, which continues at once if it can. */
  call(call: PendingCall): void {
    this.calls.add(call);
    call.go();
    this.activity.askForTurn();
  }

  /** Counts a call of the handler that never settles. */
  halt(): void {
    this.halted++;
    this.activity.askForTurn();
  }

  couldTakeSignal(): boolean {
    return this.#owner.couldTakeSignal();
  }

  /** Called after messages of others were applied: in the next turn, pending calls continue if they can. */
  hasNews(): void {
    this.#hasNews = true;
    this.activity.askForTurn();
  }

  /**
   * Returns true if no step may begin, because the run, with its attempts under way, has the maximum number of entries.
   * The run is stuck once the drive rests. A cancelled run may continue to its end.
   */
  isTooLong(): boolean {
    const { entries, cancelled } = this.journal;
    const coming = entries + this.recorder.queued + this.attempts;
    if (coming < MAX_ENTRIES || cancelled !== undefined || this.phase === "undoing") return false;
    return this.tooLong = true;
  }

  // going on, and the end ---------------------------------------------------------------------------

  /**
   * A turn: the only place where calls react to news, the handler continues, entries are stored, and the drive rests.
   */
  #turn(): void {
    if (this.#hasNews) {
      this.#hasNews = false;
      this.#owner.onNews();
      return this.activity.askForTurn();
    }
    if (this.ends.goOn()) return this.activity.askForTurn();
    this.recorder.flush();
    if (this.activity.isGoingOn) return;
    if (this.leaving) return this.stop("shutdown");
    if (this.ends.passOver(true)) return this.activity.askForTurn();
    this.#owner.rest();
  }

  /** Ends the drive at once. */
  stop(end: DriveEnd): void {
    if (this.over) return;
    this.activity.stop();
    this.recorder.endStarvation();
    if (end === "superseded") this.times.giveBack();
    this.#owner.stopped(
      () =>
        end === "superseded"
          ? new CatgaError("CANCELLED", `another node drives ${this.label} now`)
          : new CatgaError("CLOSED", `${this.label} is not driven here any more`),
      end,
    );
    this.#resolve(end);
  }

  /** Ends the drive after an error of the store. The next call for the run tries again. */
  broken(error: unknown): void {
    if (this.over) return;
    this.error = error;
    this.stop("restart");
  }
}

/** Errors of invalid calls of `flow`. One set for all drives: one for each costs a tenth of a short run. */
export const MISUSES: Pick<WeakSet<object>, "add" | "has"> = new WeakSet();
const NO_SHAPES: ReadonlySet<string> = new Set();
/** Maximum number of entries of a run. */
const MAX_ENTRIES = 10_000;
