/**
 * Shared state of a drive: entries (stored, in flight and queued), pending calls, fired timers, and its turns. A drive
 * suspends in one point: between two turns (`#turn`). Whatever changes asks for the next one (`activity.ts`).
 *
 * Invariants:
 * 1. The handler sees ends in the order of the journal, one in a turn, so that all that follows from it has been called
 *    before the next one (`ends.ts`).
 * 2. An attempt of a step begins only when all that is recorded is stored, and the run is stored as this node's
 *    (`ready`).
 * 3. The drive rests only in a turn in which the handler has nothing to see, nothing is to be stored, and nothing goes
 *    on: no attempt, append, read or timer.
 *
 * A decision of the driver is a function of journal, handler and clock; it holds only on the journal that it was made
 * on. Messages of others may come between a decision and its append. The rules; `flow_simulation_test.ts` goes red
 * without 1 to 4, `starvation_nats_test.ts` without 6:
 * 1. Whatever is in flight, split off or queued is checked when a message of others is applied, before a call sees it.
 *    If one decision fails, all decisions are dropped, and the handler runs from its top on the same journal.
 * 2. Outcomes are no decisions: `done`, `failed` of a step, `child`, `undone`, `held` and `limited` are stored before
 *    the handler runs again, except a `done` whose step has an outcome by then, which drops the decisions. `failed` of
 *    the handler is a decision. Attempts under way are handed to the next run of the handler, with their timeouts.
 * 3. `woken`, and `took` without a signal, fail on a cancel, and if an open wait could take a stored signal. They are
 *    decided when the handler has seen all that is stored, and has called the waits that follow from it. Handlers see
 *    them before they are stored, so that an end that follows from them is one append with them.
 * 4. `took` of a signal holds. `ended` and `failing` fail on a cancel that they were decided without, and whenever
 *    something before them fails. Losers of a race are aborted when `ended` is stored. A cancelled run whose handler
 *    throws fails once the handler has called all steps with an `undo` that may have begun: `Journal.begun`.
 * 5. That a step, or an `undo`, is stuck holds; behind a `retried` it is a failed attempt that is followed at once.
 * 6. Messages of others do not keep a run from storing: a process that tells a run something sends news to its driver,
 *    which answers when the append that met a conflict is stored. Few messages are stored without an answer.
 */
import { type AnyContract, MAX_NAME_LENGTH } from "../contract/contract.ts";
import type { Observer } from "../contract/observer.ts";
import type { Result } from "../contract/result.ts";
import type { RunTracer } from "../contract/run_tracer.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { WorkflowBody } from "../contract/workflow_body.ts";
import { show } from "../data/checks.ts";
import { exceeds } from "../data/utf8.ts";
import { CatgaError } from "../error.ts";
import { withCarried } from "../dispatch/carried_headers.ts";
import type { Clock, Random } from "../ports/clock.ts";
import { Activity } from "./activity.ts";
import { Ends } from "./ends.ts";
import type { Journal, JournalEntry, Parent, RecordedError, RecordedOutcome, RunLogMessage } from "./journal.ts";
import { recorded, type StepAttempt, UNSTORED } from "./outcomes.ts";
import { isCalled, type RunLog, type RunRef } from "./run_log.ts";

/**
 * How a drive ends. `superseded`: another node drives the run, or it is gone; `restart`: decisions were dropped, or an
 * attempt of the handler failed, and the handler runs from its top; `shutdown`: the node stops; `refused`: this version
 * of the workflow does not take the run, and another one may.
 */
export type DriveEnd = "completed" | "suspended" | "superseded" | "restart" | "shutdown" | "refused";

/** The app that runs are driven in. */
export interface DriveApp {
  /** How long an attempt of a step may take without an own timeout, in ms. */
  readonly timeout: number;
  readonly random: Random;
  /** Whether what attempts of steps threw is recorded. */
  readonly causes: boolean;
  /** Gets attempts of steps that failed, when the next one follows, and that a run has many entries. */
  readonly observer: Observer;
  /** The id of the node. */
  readonly node: string;
  /** The headers that go on with what steps send. */
  readonly carried: readonly string[];
  /** Makes spans; `undefined`: nothing is traced. */
  readonly tracer: RunTracer | undefined;
  send(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** True for a command of an entity: one that may be sent again when nobody knows whether it ran. */
  ofEntity(contract: AnyContract): boolean;
  /** A run begins to be driven here, and ends to be: a drain waits for it. */
  begun(): void;
  over(): void;
}

/** What a drive needs of its node. */
export interface DriveHost {
  readonly app: DriveApp;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: RunLog;
  /** The latest time that the server's clock may show, in ms since 1970: what lasts for a while lasts from then on. */
  readonly latest: number;
  /**
   * Stores that the run is to be called at a time, in ms since 1970. The same step again replaces it. Rejects with a
   * `CatgaError`.
   */
  wake(ref: RunRef, step: string, at: number): Promise<void>;
  /** A run has ended, and needs the schedules of these steps no more. */
  takeBack(ref: RunRef, steps: readonly string[]): void;
  /** Calls back in a later turn of the event loop, together with the other runs. */
  soon(callback: () => void): void;
  /** Starts a run that tells this one its end. */
  startChild(
    contract: AnyContract,
    id: string,
    input: unknown,
    parent: Required<Parent>,
    headers: Readonly<Record<string, string>> | undefined,
  ): Promise<Result<string>>;
  /**
   * Resolves with whether the run was started: it has told, or will tell, its end. One that was not is stored as ended,
   * so that a start that comes later does nothing. Rejects with a `CatgaError`. `contract`: of one that may come.
   */
  cancelChild(child: RunRef, reason: string, contract?: AnyContract): Promise<boolean>;
  /** The run has ended: tells who waits for it. Rejects with a `CatgaError`. */
  ended(ref: RunRef, journal: Journal): Promise<void>;
  /** The run is about to be stuck, by what was thrown. Rejects with a `CatgaError` if that could not be noted. */
  stuck(ref: RunRef, step: string, error: RecordedError, thrown: unknown): Promise<void>;
  /** The run was read, or driven; `undefined`: there is none. */
  read(ref: RunRef, journal: Journal | undefined): void;
  /** The shape of a workflow in this process, as {@link Journal.shape}. */
  shapeOf(workflow: string): string;
  /** Its name, which is that of no other node if it is unknown. */
  shapeNameOf(workflow: string): string;
  /**
   * Decides about a run that this node's version refused. `refusedBy`: the other shapes of its workflow that refused
   * it, to which the shape of this node is added.
   */
  afterRefusal(ref: RunRef, journal: Journal, refusedBy: Set<string>): RefusedRunFate;
}

/** A refused run goes to a node of another version, which may take it; waits for one; or an operator has to decide. */
export type RefusedRunFate = { readonly next: string } | "waits" | "stuck";

/** A time that a run waited for has come. */
export interface DueTime {
  /** The step, sleep or wait. */
  readonly step: string;
  /** That time, in ms since 1970. */
  readonly at: number;
}

/** What a drive is made of. */
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

/** An attempt that is under way while its handler restarts; `began`: by the clock, in ms since 1970. */
export interface OngoingAttempt {
  readonly attempt: StepAttempt;
  readonly outcome: Promise<RecordedOutcome>;
  readonly began: number;
}

/** Attempts that go on while their handler restarts, by step. */
export type OngoingAttempts = Map<string, OngoingAttempt>;

/** Something that waits: a call of the handler, or the pause before a handler or an `undo` runs again. */
export interface PendingCall {
  /** Looks whether it can go on. Called again after news. */
  go(): void;
}

/** What its drive does when the state changes. */
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
  /** What the handler awaits, or an `undo` that runs now. */
  readonly calls = new Set<PendingCall>();
  /** Of the steps, sleeps and waits that were called. */
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
  /** What goes on by itself: the drive does not rest while there is any. */
  readonly activity: Activity;
  readonly #owner: DriveOwner;
  readonly #resolve: (end: DriveEnd) => void;
  /** Times that have come, by the clock of the server: by step, the latest, in ms since 1970. */
  readonly #due = new Map<string, number>();
  /** When schedules fire that this drive has stored, in ms since 1970, by step. */
  readonly #woken = new Map<string, number>();
  /** It has read what another node has stored, which drives the run. */
  #lost = false;
  /** Mark of the message that it appended last: it may be read before that is answered. */
  #appending: string | undefined;
  /** This drive began the run. */
  readonly #isFirst: boolean;
  /** {@link begun} as it was before this drive. */
  readonly #begunBefore: ReadonlySet<string> | undefined;
  /** Entries that are not stored yet, and the append that is under way. */
  #queue: JournalEntry[] = [];
  #storing: Promise<void> | undefined;
  /** Messages of others were applied: calls have not been told of that yet. */
  #hasNews = false;
  /** A decision does not hold, or the handler has seen ends in another order: the handler has to restart. */
  #mustRestart = false;
  /** Its end is recorded: nothing is behind it. */
  #ending = false;
  /** It is cancelled, which may not be stored yet. */
  #cancelling = false;
  /** Entries that are being stored now. */
  #inFlight: readonly JournalEntry[] = [];
  /** Entries split off from those in flight, because a message has a size. */
  readonly #splitOff: JournalEntry[] = [];
  /** Resolves when the append that met a conflict is stored, or the drive is over. */
  #starved: PromiseWithResolvers<void> | undefined;
  /** Nothing begins before the run is stored as this node's, though it was before. */
  #mustHold: boolean;
  /** Outcomes that came behind an `ended` that is not stored yet: they are stored if it is dropped. */
  readonly #behindEnd: JournalEntry[] = [];

  constructor(options: DriveOptions, owner: DriveOwner) {
    const { host, ref, journal, due, fresh = false, handedOver = new Map(), refusedBy = NO_SHAPES } = options;
    this.refusedBy = refusedBy;
    this.#mustHold = options.gaveUp ?? false;
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
    for (const one of due) this.timerFired(one);
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

  /** Runs an attempt of a step, or of its `undo`, within a span. `perform` takes the headers of what it sends. */
  traced<T>(
    { step, attempt, isUndo }: { readonly step: string; readonly attempt: number; readonly isUndo: boolean },
    perform: (headers: Readonly<Record<string, string>> | undefined) => Promise<T>,
  ): Promise<T> {
    const { tracer, node } = this.host.app;
    const headers = this.carried;
    if (tracer === undefined) return perform(headers);
    return tracer.attempt({ node, ...this.ref, headers, step, attempt, isUndo }, perform);
  }

  /** Cancelled or failing: the handler's pending calls never settle. */
  get isHalting(): boolean {
    const { cancelled, failing } = this.journal;
    if (this.phase === "undoing") return false;
    return cancelled !== undefined || failing !== undefined || this.failed || this.#cancelling;
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

  /** Whether the handler may see what was recorded as this entry. */
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

  // storing -----------------------------------------------------------------------------------------

  record(entry: JournalEntry): void {
    if (this.over) return;
    if (this.#ending) {
      if (OUTCOMES.has(entry.t)) this.#behindEnd.push(entry);
      return;
    }
    this.#ending = entry.t === "ended";
    this.#cancelling ||= entry.t === "cancelled";
    this.#queue.push(entry);
    if (ENDS.has(entry.t) && "step" in entry) this.ends.record(entry.step);
    this.activity.askForTurn();
  }

  /** An operator has to decide. `thrown`: because of that. */
  refuse(step: string, error: RecordedError, thrown?: unknown): void {
    if (this.over) return;
    const entry = this.failedAttempt(step, error);
    THROWN.set(entry, thrown);
    DECIDED_AT.set(entry, this.journal.entries);
    this.record(entry);
  }

  /** An entry without `next`; that of the handler says what had begun, if this drive knows that. */
  failedAttempt(step: string, error: RecordedError): JournalEntry & { readonly t: "failed" } {
    const begun = step === "" ? this.begun : undefined;
    return { t: "failed", step, error, ...(begun !== undefined && begun.length <= MAX_BEGUN ? { begun } : {}) };
  }

  /** Stores what is recorded so far. Resolves with `false` when the drive is over. */
  async stored(): Promise<boolean> {
    while (!this.over && this.#isStoring) {
      await this.#storeQueue();
    }
    return !this.over;
  }

  /**
   * Stores all that was recorded so far, and that this node holds the run, before an attempt begins. `step`: a step
   * with an `undo`; if the handler's last error does not name it among those that had begun, that error counts no more.
   * Resolves with `false` when the drive is over, or no attempt may begin.
   */
  async ready(step?: string): Promise<boolean> {
    while (this.#mayBegin) {
      const { host: { endpoint }, journal: { holder, begun } } = this;
      const isUnknown = step !== undefined && begun !== undefined && !begun.has(step);
      const mustHold = holder !== endpoint || this.#mustHold || isUnknown;
      if (mustHold && !this.#queue.some(isHeld) && !this.#inFlight.some(isHeld)) {
        this.#mustHold = false;
        const shape = this.host.shapeOf(this.ref.workflow);
        this.#queue.push({ t: "held", ...(shape === this.journal.shape ? {} : { shape }) });
      }
      if (!this.#isStoring) return true;
      await this.stored();
    }
    return false;
  }

  get #mayBegin(): boolean {
    return !this.over && !this.leaving && !this.#ending;
  }

  /** Calls back when what is recorded so far is stored. */
  after(then: () => void): void {
    this.activity.work(async () => {
      if (await this.stored()) then();
    });
  }

  /**
   * Has the handler run from its top, when all that is recorded is stored: also outcomes that were recorded while a
   * store was awaited.
   */
  restart(): void {
    this.activity.work(async () => {
      while (this.#isStoring) if (!await this.stored()) return;
      this.stop("restart");
    });
  }

  get #isStoring(): boolean {
    return this.#queue.length > 0 || this.#storing !== undefined;
  }

  /** One append at a time. */
  #storeQueue(): Promise<void> {
    return this.#storing ??= this.activity.during(() => this.#store());
  }

  async #store(): Promise<void> {
    const entries = this.#inFlight = this.#queue.splice(0, MOST_TOGETHER);
    const before = this.journal.entries;
    try {
      await this.#noteStuck(entries);
      if (!await this.#append(entries)) return this.stop("superseded");
      if (this.#mustRestart) {
        // decisions are dropped, outcomes are stored
        while (this.#queue.length + this.#behindEnd.length > 0) {
          const more = [...this.#queue.splice(0), ...this.#behindEnd.splice(0)].filter((entry) =>
            this.#isOutcome(entry)
          );
          await this.#noteStuck(more);
          if (!await this.#append(more)) return this.stop("superseded");
        }
        return this.stop("restart");
      }
      const { entries: now } = this.journal;
      if (before < WARN_ENTRIES && now >= WARN_ENTRIES) {
        this.host.app.observer({ type: "run-long", ...this.ref, entries: now });
      }
    } catch (error) {
      this.broken(error);
    } finally {
      this.#storing = undefined;
    }
  }

  /** Has operators find the run before it is stuck, however often that takes. */
  async #noteStuck(entries: readonly JournalEntry[]): Promise<void> {
    for (const entry of entries) {
      if (entry.t !== "failed" || entry.next !== undefined) continue;
      await this.activity.insist(() => this.host.stuck(this.ref, entry.step, entry.error, THROWN.get(entry)), UNSTORED);
    }
  }

  /**
   * Appends entries behind what the journal has, and applies them. What others have told the run meanwhile is applied
   * first. Resolves with `false` when another node drives the run, or it is gone. Rejects as {@link RunLog.append}.
   */
  async #append(entries: readonly JournalEntry[]): Promise<boolean> {
    const { host: { log, endpoint: holder }, ref, journal } = this;
    while (!this.#lost) {
      entries = this.#mustRestart ? entries.filter((entry) => this.#isOutcome(entry)) : entries;
      entries = entries.map((entry) => this.#asRetried(entry));
      if (entries.length === 0) return true;
      const time = log.now;
      const message = log.message(ref, entries, { version: journal.entries, holder });
      if (entries.length > 1 && exceeds(message.text, log.mostBytes)) {
        const half = entries.length >> 1;
        const more = entries.slice(half);
        this.#splitOff.push(...more);
        if (!await this.#append(entries.slice(0, half))) return false;
        this.#splitOff.splice(-more.length);
        entries = more;
        continue;
      }
      this.#appending = message.mark;
      this.#inFlight = entries;
      const sequence = await log.append(ref, message, journal, () => this.over);
      if (sequence !== "conflict") {
        this.#endStarvation();
        this.#apply({ sequence, time, holder, entries, mark: message.mark });
        return true;
      }
      this.#starved ??= Promise.withResolvers();
      if (!await this.#readOn()) return false;
      this.hasNews();
    }
    return false;
  }

  /**
   * Reads what others have stored. Resolves with `false` when another node drives the run, or it has ended or is gone.
   * Rejects with `UNAVAILABLE`.
   */
  async #readOn(): Promise<boolean> {
    const { ref, journal } = this;
    const found = await this.host.log.readOn(ref, journal, (stored) => {
      // its own message before the one in flight may be read when it is applied already
      if (stored.sequence <= journal.sequence) return;
      // also what the one before has stored late: the handler has not seen it
      this.#lost ||= stored.mark !== this.#appending && !stored.entries.every(isCalled);
      this.#apply(stored);
    });
    return found && !this.#lost && journal.ended === undefined;
  }

  /** Messages of others came before an append: resolves when it is stored, or the drive is over. */
  get starved(): Promise<void> | undefined {
    return this.#starved?.promise;
  }

  #endStarvation(): void {
    this.#starved?.resolve();
    this.#starved = undefined;
  }

  /** Applies a message, once: news may be read while entries are stored. */
  #apply(stored: RunLogMessage): void {
    if (stored.sequence <= this.journal.sequence) return;
    this.journal.apply(stored);
    if (stored.mark === this.#appending) this.#inFlight = [];
    else this.#checkDecisions();
    this.#mustRestart = this.ends.takeIn() || this.#mustRestart;
  }

  /** Checks whether all that is not stored yet would be decided on the journal as it is now. */
  #checkDecisions(): void {
    const { cancelled, failing, outcomes } = this.journal;
    const pending = [...this.#inFlight, ...this.#splitOff, ...this.#queue];
    const isCancelled = cancelled !== undefined && failing === undefined && !this.byCancel && this.phase !== "undoing";
    const byTime = (entry: JournalEntry) => entry.t === "woken" || (entry.t === "took" && entry.n === undefined);
    const holds = (entry: JournalEntry) => {
      // an operator gave a step an outcome
      if (entry.t === "done") return !outcomes.has(entry.step);
      if (entry.t === "ended" || entry.t === "failing") return !isCancelled;
      return !byTime(entry) || !isCancelled;
    };
    this.#mustRestart ||= !pending.every(holds) || (pending.some(byTime) && this.#owner.couldTakeSignal());
  }

  /** True for an entry that holds whatever the handler has seen. */
  #isOutcome(entry: JournalEntry): boolean {
    if (entry.t === "done") return !this.journal.outcomes.has(entry.step);
    // an error of the handler follows from what it has seen
    return OUTCOMES.has(entry.t) && !(entry.t === "failed" && entry.step === "");
  }

  /** An operator had the run tried again before a step's last attempt was stored: the next one follows at once. */
  #asRetried(entry: JournalEntry): JournalEntry {
    if (entry.t !== "failed" || entry.next !== undefined) return entry;
    const decidedAt = DECIDED_AT.get(entry) ?? Infinity;
    return this.journal.retriedAt < decidedAt ? entry : { ...entry, next: this.host.log.now };
  }

  /** Reads what others have told the run. Resolves with `false` if it cannot be read now. */
  async readNews(): Promise<boolean> {
    return await this.activity.during(async () => {
      try {
        await this.#storing;
        if (!this.over && !await this.#readOn()) this.stop("superseded");
        if (this.over) return true;
        this.host.read(this.ref, this.journal);
        this.hasNews();
        return true;
      } catch {
        return false;
      }
    });
  }

  /** Messages of others were applied: calls look in the next turn whether they can go on. */
  hasNews(): void {
    this.#hasNews = true;
    this.activity.askForTurn();
  }

  // time --------------------------------------------------------------------------------------------

  /** A schedule has fired. */
  timerFired({ step, at }: DueTime): void {
    // any node may say so: what is far ahead of this node's clock is waited for here
    const time = Math.min(at, this.now + MOST_AHEAD);
    this.#due.set(step, Math.max(time, this.#due.get(step) ?? 0));
  }

  /** Times that have come. */
  get due(): readonly DueTime[] {
    return [...this.#due].map(([step, at]) => ({ step, at }));
  }

  /** Steps whose schedules fire after this time, in ms since 1970: an end may come before what would record them. */
  schedulesAfter(time: number): readonly string[] {
    return [...this.#woken].flatMap(([step, at]) => at > time ? [step] : []);
  }

  /** Whether the schedule of this time, or of a later one, has fired. */
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
      await this.activity.insist(() => this.host.wake(this.ref, step, Math.ceil(at)), UNSTORED);
    } catch (error) {
      this.refuse(step, recorded(error));
      return false;
    }
    return !this.over;
  }

  /**
   * Returns true if nothing more may begin: with the attempts under way the run has as many entries as it may have. It
   * is stuck then when it comes to rest. A cancelled run may go on to its end.
   */
  isTooLong(): boolean {
    const { entries, cancelled } = this.journal;
    const coming = entries + this.#queue.length + this.attempts;
    if (coming < MOST_ENTRIES || cancelled !== undefined || this.phase === "undoing") return false;
    return this.tooLong = true;
  }

  /** How long until an attempt may follow those that failed, in ms; `Infinity`: an operator has to decide. */
  pauseOf(step: string): number {
    const failures = this.journal.failures.get(step);
    if (failures === undefined || this.hasFired(step, failures.next)) return 0;
    return failures.next === undefined ? Infinity : Math.max(0, failures.next - this.now);
  }

  isStuck(step: string): boolean {
    return this.pauseOf(step) === Infinity;
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
    if (this.#queue.length > 0) void this.#storeQueue();
    if (this.activity.isGoingOn) return;
    if (this.leaving) return this.stop("shutdown");
    if (this.ends.passOver(true)) return this.activity.askForTurn();
    this.#owner.rest();
  }

  /** Ends the drive at once. */
  stop(end: DriveEnd): void {
    if (this.over) return;
    this.activity.stop();
    this.#endStarvation();
    if (end === "superseded") this.#giveBack();
    this.#owner.stopped(
      () =>
        end === "superseded"
          ? new CatgaError("CANCELLED", `another node drives ${this.label} now`)
          : new CatgaError("CLOSED", `${this.label} is not driven here any more`),
      end,
    );
    this.#resolve(end);
  }

  /** Schedules of this drive may stand in the place of those of the node that has the run now, and fire later. */
  #giveBack(): void {
    const { failures, sleeps, waits } = this.journal;
    for (const step of this.#woken.keys()) {
      const at = failures.get(step)?.next ?? sleeps.get(step)?.until ?? waits.get(step)?.until;
      if (at === undefined) continue;
      // later than now: what is due already is published once for its id. If it is not stored, the own schedule fires
      this.host.wake(this.ref, step, Math.max(at, this.now + 1_000)).catch(() => {});
    }
  }

  /** What cannot be stored ends the drive: whoever is called next tries again. */
  broken(error: unknown): void {
    if (this.over) return;
    this.error = error;
    this.stop("restart");
  }
}

/** Errors of invalid calls of `flow`. One set for all drives: one for each costs a tenth of a short run. */
export const MISUSES: Pick<WeakSet<object>, "add" | "has"> = new WeakSet();
/** Thrown values, by the entry that says that an operator has to decide. */
const THROWN = new WeakMap<JournalEntry, unknown>();
/** How many entries the journal had when it was decided that an operator has to decide. */
const DECIDED_AT = new WeakMap<JournalEntry, number>();
/** How far the clock of a node may be behind that of the server before the node waits, in ms. */
const MOST_AHEAD = 60_000;
const MOST_TOGETHER = 256;
/** Entries that end a step, sleep or wait. */
const ENDS: ReadonlySet<JournalEntry["t"]> = new Set(["done", "woken", "took"]);
/** Entries that say what happened, and hold whatever the handler has seen. */
const OUTCOMES: ReadonlySet<JournalEntry["t"]> = new Set(["held", "done", "failed", "child", "limited", "undone"]);
const NO_SHAPES: ReadonlySet<string> = new Set();
/** How many steps that may have begun an error of the handler names; it names none if there are more. */
const MAX_BEGUN = 100;
const isHeld = ({ t }: JournalEntry) => t === "held";
const WARN_ENTRIES = 1_000;
const MOST_ENTRIES = 10_000;
