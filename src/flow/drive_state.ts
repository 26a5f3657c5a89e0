/**
 * The state of a drive, and its turns. A drive goes on in its turns alone (`#turn`): between two of them it waits. That
 * is its one suspension point. Whatever changes what a turn looks at asks for the next one (`activity.ts`).
 *
 * Invariants:
 * 1. The handler sees ends in the order of the journal, one in a turn, so that all that follows from it has been called
 *    before the next one (`ends.ts`).
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
 * How a drive ends. `superseded`: another node drives the run, or it is gone; `restart`: decisions were dropped, or an
 * attempt of the handler failed, and the handler runs from its top; `shutdown`: the node stops; `refused`: this version
 * of the workflow does not take the run, and another one may.
 */
export type DriveEnd = "completed" | "suspended" | "superseded" | "restart" | "shutdown" | "refused";

/** Options of a drive. */
export interface DriveOptions {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly body: WorkflowBody;
  readonly journal: Journal;
  /** Times that have come. */
  readonly due: readonly DueTime[];
  /** This node has just started it. */
  readonly fresh?: boolean;
  /** Attempts that the drive before this one handed over. */
  readonly handedOver?: OngoingAttempts;
  /** {@link DriveState.begun} of the drive before this one. */
  readonly begun?: readonly string[] | undefined;
  /** Other shapes of the workflow that do not take the run. */
  readonly refusedBy?: ReadonlySet<string> | undefined;
  /** This node has given the run up: another one may be about to hold it. */
  readonly gaveUp?: boolean;
}

/** Something that waits: a call of the handler, or the pause before a handler or an `undo` runs again. */
export interface PendingCall {
  /** Looks whether it can go on. Called again after news. */
  go(): void;
}

/** The drive, as its state calls it. */
export interface DriveOwner {
  /** All that goes on by itself has come to rest. */
  rest(): void;
  /** A wait whose end is not stored could take a stored signal. */
  couldTakeSignal(): boolean;
  /** Steps with an undo that the handler has called, and that have no outcome. */
  undoable(): readonly string[];
  /** Messages of others were applied. */
  onNews(): void;
  /** The drive is over: what runs is aborted. */
  stopped(why: () => CatgaError, end: DriveEnd): void;
}

/** The state of a drive. */
export class DriveState {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly journal: Journal;
  /** Attempts of the drive before this one that the handler has not called yet. */
  readonly handedOver: OngoingAttempts;
  /** Resolves once. */
  readonly end: Promise<DriveEnd>;
  /** Calls that the handler awaits, or an `undo` that runs now. */
  readonly calls = new Set<PendingCall>();
  /** Names of the steps, sleeps and waits that were called. */
  readonly names = new Set<string>();
  /** The node stops: no more attempts begin. */
  leaving = false;
  /** How many calls of the handler never settle, because the run is cancelled or fails. */
  halted = 0;
  /** Attempts of steps that are under way; each ends with an entry. */
  attempts = 0;
  /** Something may not begin, for the run has as many entries as it may have. */
  tooLong = false;
  /** It ends because it was cancelled. */
  byCancel = false;
  /** The handler has failed: it begins nothing more. */
  failed = false;
  /** `undoing`: `undo` functions run, and the handler's own calls are over. */
  phase: "handler" | "finishing" | "undoing" = "handler";
  /** Why it could not go on. */
  error: unknown;
  /** Other shapes of the workflow that do not take the run. */
  readonly refusedBy: ReadonlySet<string>;
  /** The steps, sleeps and waits that have ended. */
  readonly ends: Ends;
  /** Work that is under way: the drive does not rest while there is any. */
  readonly activity: Activity;
  /** Entries of this drive on their way to the store, and those that others have stored. */
  readonly recorder: DriveRecorder;
  /** Schedules and pauses. */
  readonly times: DriveTimes;
  readonly #owner: DriveOwner;
  readonly #resolve: (end: DriveEnd) => void;
  /** This drive began the run. */
  readonly #isFirst: boolean;
  /** {@link begun} as it was before this drive. */
  readonly #begunBefore: ReadonlySet<string> | undefined;
  /** Messages of others were applied: calls have not been told of that yet. */
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

  /** Headers of the messages that its steps send; `undefined`: none. */
  get carried(): Readonly<Record<string, string>> | undefined {
    const { headers } = this.journal;
    return headers && withCarried(this.host.app.carried, headers, undefined);
  }

  /** Cancelled or failing: the handler's pending calls never settle. */
  get isHalting(): boolean {
    const { cancelled, failing } = this.journal;
    if (this.phase === "undoing") return false;
    return cancelled !== undefined || failing !== undefined || this.failed || this.recorder.isCancelling;
  }

  /**
   * A step that is called now did not begin in another drive. That this drive has stored something does not say so: the
   * handler may be where another one was.
   */
  get isFresh(): boolean {
    return this.#isFirst || this.ends.isBehindOthers;
  }

  /** Steps with an undo that may have begun, and have no outcome; `undefined`: there may be others. */
  get begun(): readonly string[] | undefined {
    return this.isFresh || this.#begunBefore !== undefined
      ? [...this.#owner.undoable(), ...this.#notReached]
      : undefined;
  }

  /** The handler has called all steps with an undo that may have begun, and have no outcome. */
  get hasReachedAllBegun(): boolean {
    return this.begun !== undefined && this.#notReached.length === 0;
  }

  get #notReached(): readonly string[] {
    const { names, journal: { outcomes } } = this;
    return [...this.#begunBefore ?? []].filter((name) => !names.has(name) && !outcomes.has(name));
  }

  /** Returns true if the handler may see this entry of the journal. */
  sees(index: number): boolean {
    const { cancelled, failing } = this.journal;
    return this.phase === "undoing" || index < Math.min(cancelled?.index ?? Infinity, failing?.index ?? Infinity);
  }

  /** Takes the name of a step, sleep or wait. Throws a `TypeError` if it is invalid, or taken. */
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

  /** Rejects a call of `flow` that is invalid: no attempt follows, for the handler's code has to change. */
  misused(error: unknown): Promise<never> {
    MISUSES.add(error as TypeError); // checks throw errors
    const rejected = Promise.reject(error);
    rejected.catch(() => {}); // a handler that does not await it must not end one process after the other
    return rejected;
  }

  /** Something waits from now on, if it cannot go on at once. */
  call(call: PendingCall): void {
    this.calls.add(call);
    call.go();
    this.activity.askForTurn();
  }

  /** A call of the handler that never settles. */
  halt(): void {
    this.halted++;
    this.activity.askForTurn();
  }

  couldTakeSignal(): boolean {
    return this.#owner.couldTakeSignal();
  }

  /** Messages of others were applied: calls look in the next turn whether they can go on. */
  hasNews(): void {
    this.#hasNews = true;
    this.activity.askForTurn();
  }

  /**
   * Returns true if nothing more may begin: with the attempts under way the run has as many entries as it may have. It
   * is stuck then when it comes to rest. A cancelled run may go on to its end.
   */
  isTooLong(): boolean {
    const { entries, cancelled } = this.journal;
    const coming = entries + this.recorder.queued + this.attempts;
    if (coming < MAX_ENTRIES || cancelled !== undefined || this.phase === "undoing") return false;
    return this.tooLong = true;
  }

  // going on, and the end ---------------------------------------------------------------------------

  /** The only place where calls hear of news, the handler goes on, what is recorded is stored, and the drive rests. */
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

  /** Ends the drive after an error of the store: whoever is called next tries again. */
  broken(error: unknown): void {
    if (this.over) return;
    this.error = error;
    this.stop("restart");
  }
}

/** Errors of invalid calls of `flow`. One set for all drives: one for each costs a tenth of a short run. */
export const MISUSES: Pick<WeakSet<object>, "add" | "has"> = new WeakSet();
const NO_SHAPES: ReadonlySet<string> = new Set();
/** How many entries a run may have. */
const MAX_ENTRIES = 10_000;
