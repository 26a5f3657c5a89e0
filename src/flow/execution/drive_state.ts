/**
 * The state of one execution of a run (a drive), and its turns. An execution advances only in its turns (`turn`);
 * between two turns it awaits the next one, and it awaits nothing else. A change of state that a turn reads requests
 * the next turn (`activity.ts`).
 *
 * Invariants:
 * 1. The handler sees the ends of steps, sleeps and waits in the order of the journal, one in a turn, so that the
 *    handler has made all calls that follow from one end before it sees the next end (`ends.ts`).
 * 2. An attempt of a step begins only when all recorded entries are stored, and one of them says that this node
 *    executes the run (`DriveRecorder.ready`).
 * 3. The node gives the run up until something happens to it only in a turn in which the handler has nothing to see,
 *    nothing is to be stored, and nothing is in progress: no attempt, append, read or timer.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { MAX_NAME_LENGTH } from "../../contract/declaration/contract.ts";
import { isFailure } from "../../contract/calls/result.ts";
import type { WorkflowBody } from "../../contract/declaration/workflow_body.ts";
import { show } from "../../data/checks.ts";
import { withCarried } from "../../dispatch/carried_headers.ts";
import { CatgaError } from "../../error.ts";
import { Activity, type ActivityCallbacks } from "./activity.ts";
import type { DriveHost, DueTime } from "./drive_host.ts";
import { DriveTimes } from "./drive_times.ts";
import { Ends } from "./ends.ts";
import type { CallKind, Journal } from "../stored/journal.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { decided } from "../stored/recorded_error.ts";
import { copyOf } from "../stored/recorded_value.ts";
import type { OngoingAttempts, StepAttempt } from "./step_attempt.ts";
import { DriveRecorder } from "./drive_recorder.ts";
import type { RunRef } from "../stored/run_ref.ts";

/**
 * How an execution of a run (a drive) ends. `completed`: the run has ended; `suspended`: all pending calls of the
 * handler wait for a time, a signal, a child run or an operator; `superseded`: another node executes the run, or the
 * run no longer exists; `restart`: the run has to be executed from the top of its handler again, because the handler or
 * an `undo` failed, because entries of other processes contradict what the handler has seen or decided, or because of
 * an error of the store; `shutdown`: the node stops; `refused`: this version of the workflow does not accept the run,
 * and another version may; `new life`: the run has begun anew (`flow.again`), and is to be executed from there.
 */
export type DriveEnd = "completed" | "suspended" | "superseded" | "restart" | "shutdown" | "refused" | "new life";

/** Options of one execution of a run. */
export interface DriveOptions {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly body: WorkflowBody;
  readonly journal: Journal;
  /** Schedules of the run that have fired. */
  readonly due: readonly DueTime[];
  /** True if this node has just started the run. */
  readonly fresh?: boolean;
  /** Attempts in progress that the previous execution of the run left to this one. */
  readonly handedOver?: OngoingAttempts;
  /**
   * Names of steps with an `undo` that may have begun and have no outcome, as the previous execution of the run knew
   * them (`DriveState.begun`).
   */
  readonly begun?: readonly string[] | undefined;
  /**
   * By step: the time, in ms since 1970, of a schedule that may be stored without being recorded, as the previous
   * execution of the run knew it ({@link DriveTimes.unrecorded}).
   */
  readonly unrecorded?: ReadonlyMap<string, number> | undefined;
  /** Shapes (versions) of the workflow other than this node's that have refused the run. */
  readonly refusedBy?: ReadonlySet<string> | undefined;
  /** Time at which the journal was read at the latest, by the monotonic clock; `undefined`: just now. */
  readonly readAt?: number | undefined;
  /** True if this node has given the run up at an earlier time, so that another node may be about to take it over. */
  readonly gaveUp?: boolean;
}

/** A call of the handler that has not settled, or the pause before the handler or an `undo` is called again. */
export interface PendingCall {
  /**
   * Lets the call continue if what it waits for has happened. Called when the handler makes the call, and whenever
   * entries of other processes were applied to the journal.
   */
  go(): void;
}

/** Callbacks from the state of a drive to the {@link Drive} (one execution of a run). */
export interface DriveCallbacks {
  /** Called in a turn in which nothing is in progress, the handler has nothing to see, and nothing is to be stored. */
  onIdle(): void;
  /** Returns true if a wait of the handler, whose end is not stored yet, could take a stored signal. */
  couldTakeSignal(): boolean;
  /** Returns the names of steps with an `undo` that the handler has called, may have begun, and have no outcome. */
  undoable(): readonly string[];
  /** Returns true if a cancelled run waits for the outcome of this step, which the handler has called. */
  needsOutcome(step: string): boolean;
  /** Called in the turn after entries of other processes were applied. */
  onNews(): void;
  /**
   * Called once, when the execution of the run ends. Aborts the attempts in progress, with the error that `why`
   * returns.
   */
  stopped(why: () => CatgaError, end: DriveEnd): void;
}

/** The state of one execution of a run. */
export class DriveState implements ActivityCallbacks {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly journal: Journal;
  /**
   * Attempts in progress that the previous execution of the run left, and whose steps the handler has not called yet.
   */
  readonly handedOver: OngoingAttempts;
  /** Resolves when the execution of the run ends, with the reason. */
  readonly end: Promise<DriveEnd>;
  /** Pending calls of the handler, or the pending call of an `undo`. */
  readonly calls = new Set<PendingCall>();
  /** Names of the steps, sleeps and waits that the handler or an `undo` has called. */
  readonly names = new Set<string>();
  /** True once the execution has ended ({@link DriveState.stop}). */
  over = false;
  /** True once the node stops: no more attempts begin. */
  leaving = false;
  /** Number of the handler's calls that will never settle, because the run is cancelled or fails. */
  halted = 0;
  /** Number of attempts of steps in progress; each adds an entry to the run. */
  attempts = 0;
  /** True once a step could not begin because the run has its maximum number of entries. */
  tooLong = false;
  /** True if the run ends because it was cancelled. */
  byCancel = false;
  /** True once the handler has failed, after which no step of it begins. */
  failed = false;
  /** Phase of the execution. `undoing`: `undo` functions run, and the handler's own calls no longer count. */
  phase: "handler" | "finishing" | "undoing" = "handler";
  /** The error of the store that ended the execution, if one did. */
  error: unknown;
  /** Shapes (versions) of the workflow other than this node's that have refused the run. */
  readonly refusedBy: ReadonlySet<string>;
  /** Passes the ends of steps, sleeps and waits to the handler, in order. */
  readonly ends: Ends;
  /** Counts what is in progress; the execution is not suspended while anything is. */
  readonly activity: Activity;
  /** Stores the entries of this execution, and applies the entries that other processes have stored. */
  readonly recorder: DriveRecorder;
  /** Schedules of the run, and pauses before attempts. */
  readonly times: DriveTimes;
  readonly #callbacks: DriveCallbacks;
  readonly #resolve: (end: DriveEnd) => void;
  /** True if this node has just started the run, and this is its first execution. */
  readonly isFirst: boolean;
  /**
   * Names of steps with an `undo` that may have begun before this execution, and had no outcome; `undefined`: not
   * known.
   */
  readonly #begunBefore: ReadonlySet<string> | undefined;
  /** {@link DriveState.isFresh} at the time when the handler threw; `undefined`: the handler has not thrown. */
  #wasFresh: boolean | undefined;
  /** True if entries of other processes were applied, and the next turn has not yet let the pending calls continue. */
  #hasNews = false;

  constructor(options: DriveOptions, callbacks: DriveCallbacks) {
    const { host, ref, journal, due, fresh = false, handedOver = new Map(), refusedBy = NO_SHAPES } = options;
    this.refusedBy = refusedBy;
    this.host = host;
    this.ref = ref;
    this.journal = journal;
    this.isFirst = fresh;
    this.#begunBefore = options.begun === undefined ? journal.begun : new Set(options.begun);
    this.handedOver = handedOver;
    this.activity = new Activity(host, this);
    this.ends = new Ends(this);
    // copied, because V8 makes literals that live as long as a run among the old objects (HeldRun)
    this.#callbacks = { ...callbacks };
    this.recorder = new DriveRecorder(this, options.gaveUp ?? false, options.readAt);
    const refuse = this.recorder.refuse.bind(this.recorder);
    const { unrecorded = new Map() } = options;
    this.times = new DriveTimes({ host, ref, journal, activity: this.activity, refuse }, { due, unrecorded });
    const { promise, resolve } = Promise.withResolvers<DriveEnd>();
    this.end = promise;
    this.#resolve = resolve;
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

  /** True if the run is cancelled or fails, so that the handler's pending calls never settle. */
  get isHalting(): boolean {
    const { cancelled, failing } = this.journal;
    if (this.phase === "undoing") return false;
    return cancelled !== undefined || failing !== undefined || this.failed || this.recorder.isCancelling;
  }

  /**
   * True if no earlier execution of the run can have begun a step that the handler calls at this moment: it has gone
   * further than any earlier execution can have. Entries that this execution has stored do not prove that: the handler
   * may still be at a place that an earlier execution had reached.
   */
  get isFresh(): boolean {
    return this.isFirst || this.ends.isBehindOthers;
  }

  /** Names of steps with an `undo` that may have begun and have no outcome; `undefined`: not known. */
  get begun(): readonly string[] | undefined {
    // after the handler has thrown, `isFresh` may become true by an end that another branch of the handler awaited;
    // that does not prove that the branch that threw had come as far as in an earlier execution
    const isKnown = this.#begunBefore !== undefined || (this.#wasFresh ?? this.isFresh);
    return isKnown ? [...this.#callbacks.undoable(), ...this.notReached] : undefined;
  }

  /** True once the handler has called all steps with an `undo` that may have begun and have no outcome. */
  get hasReachedAllBegun(): boolean {
    return this.begun !== undefined && this.notReached.length === 0;
  }

  /** Names of steps with an `undo` that may have begun before this execution, and that the handler has not called. */
  get notReached(): readonly string[] {
    const { names, journal: { outcomes, everBegun } } = this;
    const before = new Set([...this.#begunBefore ?? [], ...everBegun]);
    return [...before].filter((name) => !names.has(name) && !outcomes.has(name));
  }

  /**
   * Returns true if the handler may see the entry with this number: entries after a cancel or a failure of the run are
   * hidden from it, except while steps are undone.
   */
  sees(index: number): boolean {
    const { cancelled, failing } = this.journal;
    return this.phase === "undoing" || index < Math.min(cancelled?.index ?? Infinity, failing?.index ?? Infinity);
  }

  /**
   * Registers the name of a step, sleep, wait or callback. Throws a `TypeError` if the name is invalid or in use, if it
   * is recorded as that of another kind of call, or if the function of a step of the run calls this. Returns false for
   * the name of another kind if the run is cancelled or fails: the call never settles, and the run goes on without it.
   */
  name(name: string, kind: CallKind): boolean {
    this.checkOutside(`the step, sleep or wait ${show(name)}`);
    if (typeof name !== "string" || !/^[^@]/.test(name) || name.length > MAX_NAME_LENGTH || !name.isWellFormed()) {
      throw new TypeError(
        `the name of a step is 1 to ${MAX_NAME_LENGTH} characters, the first of which is not "@"; got ${show(name)}`,
      );
    }
    if (this.names.has(name)) {
      throw new TypeError(`${this.label} has a step ${show(name)} already: give this one another name`);
    }
    const recorded = this.journal.kindOf(name) ?? kind;
    if (recorded !== kind) {
      if (this.isHalting) {
        this.halt();
        return false;
      }
      const now = `the handler calls it as a ${kind}`;
      const advice = "give it another name, or have runs that began before go the old way (flow.version)";
      throw new TypeError(`${this.label} has recorded ${show(name)} as a ${recorded}, and ${now}: ${advice}`);
    }
    this.names.add(name);
    return true;
  }

  /**
   * Throws a `TypeError` in the function of a step of the run: its next attempt would find the names of the first one
   * taken. `what`: names the call of `flow`, for the error.
   */
  checkOutside(what: string): void {
    const within = PERFORMED.getStore();
    if (within?.state !== this) return;
    const step = show(within.step);
    throw new TypeError(
      `${what} is used in the function of step ${step}, which calls nothing of flow: call it behind that step`,
    );
  }

  /**
   * Calls the function of a step, and resolves with the outcome. {@link DriveState.checkOutside} throws until the
   * function has ended.
   */
  async performStep(
    step: string,
    fn: (attempt: StepAttempt) => unknown,
    attempt: StepAttempt,
  ): Promise<RecordedOutcome> {
    const performed: PerformedStep = { state: this, step };
    let value: unknown;
    try {
      value = await PERFORMED.run(performed, fn, attempt);
    } finally {
      performed.state = undefined;
    }
    const { mostBytes } = this.host.log;
    if (isFailure(value)) return { ok: false, error: decided(value.error, "the step", mostBytes) };
    return { ok: true, value: copyOf(value, "the result", mostBytes) };
  }

  /**
   * Returns a promise that rejects with the error of an invalid call of `flow`. The error is marked so that the handler
   * is not tried again, because its code has to change.
   */
  misused(error: unknown): Promise<never> {
    markMisuse(error);
    const rejected = Promise.reject(error);
    rejected.catch(() => {}); // otherwise the rejection would end the process if the handler does not await the promise
    return rejected;
  }

  /** Adds a pending call, and lets it continue at once if it can. */
  call(call: PendingCall): void {
    this.calls.add(call);
    call.go();
    this.activity.askForTurn();
  }

  /**
   * Adds 1 to {@link DriveState.halted}, the number of the handler's calls that will never settle, and requests a turn,
   * in which the execution can go on without them.
   */
  halt(): void {
    this.halted++;
    this.activity.askForTurn();
  }

  /** Notes, when the handler has thrown, whether an earlier execution can have begun the steps called until then. */
  handlerThrew(): void {
    this.#wasFresh ??= this.isFresh;
  }

  needsOutcome(step: string): boolean {
    return this.#callbacks.needsOutcome(step) || this.notReached.includes(step);
  }

  couldTakeSignal(): boolean {
    return this.#callbacks.couldTakeSignal();
  }

  /**
   * Lets pending calls continue, if they can, in the next turn. Called after entries of other processes were applied.
   */
  hasNews(): void {
    this.#hasNews = true;
    this.activity.askForTurn();
  }

  /**
   * Returns true if no step may begin, because the run, with the attempts in progress, has its maximum number of
   * entries. The run becomes stuck when nothing is in progress. A cancelled run may continue to its end.
   */
  isTooLong(): boolean {
    const { length, cancelled } = this.journal;
    const coming = length + this.recorder.queued + this.attempts;
    if (coming < MAX_ENTRIES || cancelled !== undefined || this.phase === "undoing") return false;
    return this.tooLong = true;
  }

  /**
   * One turn of the execution ({@link ActivityCallbacks.turn}): the only place where pending calls react to new
   * entries, the handler continues, entries are stored, and the execution is suspended.
   */
  turn(): void {
    if (this.#hasNews) {
      this.#hasNews = false;
      this.#callbacks.onNews();
      return this.activity.askForTurn();
    }
    if (this.ends.goOn()) return this.activity.askForTurn();
    this.recorder.flush();
    if (this.activity.isGoingOn || this.recorder.storeShown()) return;
    if (this.leaving) return this.stop("shutdown");
    if (this.ends.passOver("any")) return this.activity.askForTurn();
    this.#callbacks.onIdle();
  }

  /** Ends the execution of the run at once. */
  stop(end: DriveEnd): void {
    if (this.over) return;
    this.over = true;
    this.activity.stop();
    this.recorder.endStarvation();
    if (end === "superseded") this.times.giveBack();
    this.#callbacks.stopped(
      () =>
        end === "superseded"
          ? new CatgaError("CANCELLED", `another node drives ${this.label} now`)
          : new CatgaError("CLOSED", `${this.label} is not driven here any more`),
      end,
    );
    this.#resolve(end);
  }

  /**
   * Ends the execution of the run after an error of the store. The next call to execute the run begins another
   * execution.
   */
  broken(error: unknown): void {
    if (this.over) return;
    this.error = error;
    this.stop("restart");
  }
}

/** A step of a run whose function is being called. */
interface PerformedStep {
  /**
   * The run's execution; `undefined` once the function has ended: what it has started, and nobody awaits, may keep its
   * async context for long.
   */
  state: DriveState | undefined;
  readonly step: string;
}

/** The step whose function the code running now belongs to; `undefined`: none. */
const PERFORMED = new AsyncLocalStorage<PerformedStep>();

/** Marks the error of an invalid call of `flow`: another attempt of the handler would throw it again. */
export function markMisuse(error: unknown): void {
  MISUSES.add(error as TypeError); // safe: the checks throw errors
}

/** Returns true if an error was marked by {@link markMisuse}. */
export function isMisuse(error: unknown): boolean {
  return MISUSES.has(error as object); // safe: false for a value that is no object
}

/** The marked errors. One set serves all drives, because a set for each drive costs a tenth of a short run. */
const MISUSES = new WeakSet<object>();
const NO_SHAPES: ReadonlySet<string> = new Set();
/** Maximum number of entries of a run, or of one life of it. */
const MAX_ENTRIES = 10_000;
