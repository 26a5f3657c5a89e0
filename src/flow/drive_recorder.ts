/**
 * The record of a drive: entries that wait to be stored, their appends, one at a time, and messages that others have
 * stored.
 *
 * A decision of the driver is a function of journal, handler and clock; it holds only on the journal that it was made
 * on. Messages of others may come between a decision and its append. The rules, without each of which
 * `flow_simulation_test.ts` goes red:
 * 1. Whatever is in flight, split off or queued is checked when a message of others is applied, before a call sees it.
 *    If one decision fails, all decisions are dropped, and the handler runs from its top on the same journal.
 * 2. Outcomes are no decisions: `done`, `failed` of a step, `child`, `undone`, `held` and `limited` are stored before
 *    the handler runs again, except a `done` whose step has an outcome by then, which drops the decisions. `failed` of
 *    the handler is a decision. Attempts under way are handed to the next run of the handler, with their timeouts.
 * 3. `woken`, and `took` without a signal, fail on a cancel, and if an open wait could take a stored signal. They are
 *    decided when the handler has seen all that is stored, and has called the waits that follow from it; a handler that
 *    has thrown decides none. Handlers see them before they are stored, so that an end that follows from them is one
 *    append with them.
 * 4. `took` of a signal holds. `ended` and `failing` fail on a cancel that they were decided without, and whenever
 *    something before them fails. Losers of a race are aborted when `ended` is stored. A cancelled run whose handler
 *    throws fails once the handler has called all steps with an `undo` that may have begun: `Journal.begun`.
 * 5. That a step, or an `undo`, is stuck holds; behind a `retried` it is a failed attempt that is followed at once.
 * 6. Messages of others do not keep a run from storing: a process that tells a run something sends news to its driver,
 *    which answers when the append that met a conflict is stored. Few messages are stored without an answer.
 */
import { exceeds } from "../data/utf8.ts";
import type { Activity } from "./activity.ts";
import type { DriveHost } from "./drive_host.ts";
import type { Ends } from "./ends.ts";
import type { Journal, JournalEntry, RecordedError, RunLogMessage } from "./journal.ts";
import { UNSTORED } from "./recorded_error.ts";
import { isCalled } from "./run_message.ts";
import type { RunRef } from "./run_ref.ts";

/** The part of a drive that its {@link DriveRecorder} uses. */
export interface RecordedDrive {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly journal: Journal;
  readonly activity: Activity;
  readonly ends: Ends;
  readonly over: boolean;
  /** The node stops: no more attempts begin. */
  readonly leaving: boolean;
  readonly phase: "handler" | "finishing" | "undoing";
  /** It ends because it was cancelled. */
  readonly byCancel: boolean;
  /** Steps with an undo that may have begun, and have no outcome; `undefined`: there may be others. */
  readonly begun: readonly string[] | undefined;
  /** Returns true if a wait whose end is not stored could take a stored signal. */
  couldTakeSignal(): boolean;
  /** Messages of others were applied. */
  hasNews(): void;
  stop(end: "superseded" | "restart"): void;
  /** It could not be stored. */
  broken(error: unknown): void;
}

/** Records the entries of a drive, and stores them. */
export class DriveRecorder {
  readonly #drive: RecordedDrive;
  readonly #host: DriveHost;
  readonly #ref: RunRef;
  readonly #journal: Journal;
  readonly #activity: Activity;
  readonly #ends: Ends;
  /** It has read what another node has stored, which drives the run. */
  #lost = false;
  /** Mark of the message that it appended last: it may be read before that is answered. */
  #appending: string | undefined;
  /** Entries that are not stored yet, and the append that is under way. */
  #queue: JournalEntry[] = [];
  #storing: Promise<void> | undefined;
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

  /** `mustHold`: this node has given the run up before, so that another one may be about to hold it. */
  constructor(drive: RecordedDrive, mustHold: boolean) {
    this.#drive = drive;
    this.#host = drive.host;
    this.#ref = drive.ref;
    this.#journal = drive.journal;
    this.#activity = drive.activity;
    this.#ends = drive.ends;
    this.#mustHold = mustHold;
  }

  /** How many entries wait to be stored. */
  get queued(): number {
    return this.#queue.length;
  }

  /** A cancel is recorded, which may not be stored yet. */
  get isCancelling(): boolean {
    return this.#cancelling;
  }

  record(entry: JournalEntry): void {
    if (this.#drive.over) return;
    if (this.#ending) {
      if (OUTCOMES.has(entry.t)) this.#behindEnd.push(entry);
      return;
    }
    this.#ending = entry.t === "ended";
    this.#cancelling ||= entry.t === "cancelled";
    this.#queue.push(entry);
    if (ENDS.has(entry.t) && "step" in entry) this.#ends.record(entry.step);
    this.#activity.askForTurn();
  }

  /** An operator has to decide. `thrown`: because of that. */
  refuse(step: string, error: RecordedError, thrown?: unknown): void {
    if (this.#drive.over) return;
    const entry = this.failedAttempt(step, error);
    THROWN.set(entry, thrown);
    DECIDED_AT.set(entry, this.#journal.entries);
    this.record(entry);
  }

  /** An operator has to decide before anything else is done: {@link refuse}, and the handler restarts. */
  recordStuck(step: string, error: RecordedError): void {
    this.refuse(step, error);
    this.restart();
  }

  /** An entry without `next`; that of the handler says what had begun, if this drive knows that. */
  failedAttempt(step: string, error: RecordedError): JournalEntry & { readonly t: "failed" } {
    const begun = step === "" ? this.#drive.begun : undefined;
    return { t: "failed", step, error, ...(begun !== undefined && begun.length <= MAX_BEGUN ? { begun } : {}) };
  }

  /** Stores what is recorded so far. Resolves with `false` when the drive is over. */
  async stored(): Promise<boolean> {
    while (!this.#drive.over && this.#isStoring) {
      await this.#storeQueue();
    }
    return !this.#drive.over;
  }

  /**
   * Stores all that was recorded so far, and that this node holds the run, before an attempt begins. `step`: a step
   * with an `undo`; if the handler's last error does not name it among those that had begun, that error counts no more.
   * Resolves with `false` when the drive is over, or no attempt may begin.
   */
  async ready(step?: string): Promise<boolean> {
    while (this.#mayBegin) {
      const { endpoint } = this.#host;
      const { holder, begun } = this.#journal;
      const isUnknown = step !== undefined && begun !== undefined && !begun.has(step);
      const mustHold = holder !== endpoint || this.#mustHold || isUnknown;
      if (mustHold && !this.#queue.some(isHeld) && !this.#inFlight.some(isHeld)) {
        this.#mustHold = false;
        const shape = this.#host.shapeOf(this.#ref.workflow);
        this.#queue.push({ t: "held", ...(shape === this.#journal.shape ? {} : { shape }) });
      }
      if (!this.#isStoring) return true;
      await this.stored();
    }
    return false;
  }

  get #mayBegin(): boolean {
    return !this.#drive.over && !this.#drive.leaving && !this.#ending;
  }

  /** Calls back when what is recorded so far is stored. */
  after(then: () => void): void {
    this.#activity.work(async () => {
      if (await this.stored()) then();
    });
  }

  /**
   * Has the handler run from its top, when all that is recorded is stored: also outcomes that were recorded while a
   * store was awaited.
   */
  restart(): void {
    this.#activity.work(async () => {
      while (this.#isStoring) if (!await this.stored()) return;
      this.#drive.stop("restart");
    });
  }

  get #isStoring(): boolean {
    return this.#queue.length > 0 || this.#storing !== undefined;
  }

  /** Stores what waits, unless nothing does. Called in each turn in which the handler has nothing more to see. */
  flush(): void {
    if (this.#queue.length > 0) void this.#storeQueue();
  }

  /** One append at a time. */
  #storeQueue(): Promise<void> {
    return this.#storing ??= this.#activity.during(() => this.#store());
  }

  async #store(): Promise<void> {
    const entries = this.#inFlight = this.#queue.splice(0, MAX_TOGETHER);
    const before = this.#journal.entries;
    try {
      await this.#noteStuck(entries);
      if (!await this.#append(entries)) return this.#drive.stop("superseded");
      if (this.#mustRestart) {
        // decisions are dropped, outcomes are stored
        while (this.#queue.length + this.#behindEnd.length > 0) {
          const more = [...this.#queue.splice(0), ...this.#behindEnd.splice(0)].filter((entry) =>
            this.#isOutcome(entry)
          );
          await this.#noteStuck(more);
          if (!await this.#append(more)) return this.#drive.stop("superseded");
        }
        return this.#drive.stop("restart");
      }
      const { entries: now } = this.#journal;
      if (before < WARN_ENTRIES && now >= WARN_ENTRIES) {
        this.#host.app.observer({ type: "run-long", ...this.#ref, entries: now });
      }
    } catch (error) {
      this.#drive.broken(error);
    } finally {
      this.#storing = undefined;
    }
  }

  /** Has operators find the run before it is stuck, however often that takes. */
  async #noteStuck(entries: readonly JournalEntry[]): Promise<void> {
    for (const entry of entries) {
      if (entry.t !== "failed" || entry.next !== undefined) continue;
      await this.#activity.insist(
        () => this.#host.stuck(this.#ref, entry.step, entry.error, THROWN.get(entry)),
        UNSTORED,
      );
    }
  }

  /**
   * Appends entries behind what the journal has, and applies them. What others have told the run meanwhile is applied
   * first. Resolves with `false` when another node drives the run, or it is gone. Rejects as {@link RunLog.append}.
   */
  async #append(entries: readonly JournalEntry[]): Promise<boolean> {
    const { log, endpoint: holder } = this.#host;
    const [ref, journal] = [this.#ref, this.#journal];
    while (!this.#lost) {
      entries = this.#mustRestart ? entries.filter((entry) => this.#isOutcome(entry)) : entries;
      entries = entries.map((entry) => this.#asRetried(entry));
      if (entries.length === 0) return true;
      const time = log.now;
      const message = log.messages.of(ref, entries, { version: journal.entries, holder });
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
      const sequence = await log.append(ref, message, journal, () => this.#drive.over);
      if (sequence !== "conflict") {
        this.endStarvation();
        this.#apply({ sequence, time, holder, entries, mark: message.mark });
        return true;
      }
      this.#starved ??= Promise.withResolvers();
      if (!await this.#readOn()) return false;
      this.#drive.hasNews();
    }
    return false;
  }

  /**
   * Reads what others have stored. Resolves with `false` when another node drives the run, or it has ended or is gone.
   * Rejects with `UNAVAILABLE`.
   */
  async #readOn(): Promise<boolean> {
    const [ref, journal] = [this.#ref, this.#journal];
    const found = await this.#host.log.readOn(ref, journal, (stored) => {
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

  /** Lets go who waits for {@link starved}. */
  endStarvation(): void {
    this.#starved?.resolve();
    this.#starved = undefined;
  }

  /** Applies a message, once: news may be read while entries are stored. */
  #apply(stored: RunLogMessage): void {
    if (stored.sequence <= this.#journal.sequence) return;
    this.#journal.apply(stored);
    if (stored.mark === this.#appending) this.#inFlight = [];
    else this.#checkDecisions();
    this.#mustRestart = this.#ends.takeIn() || this.#mustRestart;
  }

  /** Checks whether all that is not stored yet would be decided on the journal as it is now. */
  #checkDecisions(): void {
    const { cancelled, failing, outcomes } = this.#journal;
    const pending = [...this.#inFlight, ...this.#splitOff, ...this.#queue];
    const isCancelled = cancelled !== undefined && failing === undefined && !this.#drive.byCancel &&
      this.#drive.phase !== "undoing";
    const byTime = (entry: JournalEntry) => entry.t === "woken" || (entry.t === "took" && entry.n === undefined);
    const holds = (entry: JournalEntry) => {
      // an operator gave a step an outcome
      if (entry.t === "done") return !outcomes.has(entry.step);
      if (entry.t === "ended" || entry.t === "failing") return !isCancelled;
      return !byTime(entry) || !isCancelled;
    };
    this.#mustRestart ||= !pending.every(holds) || (pending.some(byTime) && this.#drive.couldTakeSignal());
  }

  /** True for an entry that holds whatever the handler has seen. */
  #isOutcome(entry: JournalEntry): boolean {
    if (entry.t === "done") return !this.#journal.outcomes.has(entry.step);
    // an error of the handler follows from what it has seen
    return OUTCOMES.has(entry.t) && !(entry.t === "failed" && entry.step === "");
  }

  /** An operator had the run tried again before a step's last attempt was stored: the next one follows at once. */
  #asRetried(entry: JournalEntry): JournalEntry {
    if (entry.t !== "failed" || entry.next !== undefined) return entry;
    const decidedAt = DECIDED_AT.get(entry) ?? Infinity;
    return this.#journal.retriedAt < decidedAt ? entry : { ...entry, next: this.#host.log.now };
  }

  /** Reads what others have told the run. Resolves with `false` if it cannot be read now. */
  async readNews(): Promise<boolean> {
    return await this.#activity.during(async () => {
      try {
        await this.#storing;
        if (!this.#drive.over && !await this.#readOn()) this.#drive.stop("superseded");
        if (this.#drive.over) return true;
        this.#host.read(this.#ref, this.#journal);
        this.#drive.hasNews();
        return true;
      } catch {
        return false;
      }
    });
  }
}

/** Thrown values, by the entry that says that an operator has to decide. */
const THROWN = new WeakMap<JournalEntry, unknown>();
/** How many entries the journal had when it was decided that an operator has to decide. */
const DECIDED_AT = new WeakMap<JournalEntry, number>();
/** Entries that end a step, sleep or wait. */
const ENDS: ReadonlySet<JournalEntry["t"]> = new Set(["done", "woken", "took"]);
/** Entries that say what happened, and hold whatever the handler has seen. */
const OUTCOMES: ReadonlySet<JournalEntry["t"]> = new Set(["held", "done", "failed", "child", "limited", "undone"]);
const isHeld = ({ t }: JournalEntry) => t === "held";
/** How many entries are stored together. */
const MAX_TOGETHER = 256;
/** How many steps that may have begun an error of the handler names; it names none if there are more. */
const MAX_BEGUN = 100;
/** How many entries a run has when it is observed that it has many. */
const WARN_ENTRIES = 1_000;
