/**
 * Records the entries of a run during one execution of it (a drive): it queues entries, appends them to the log, one
 * message at a time, and applies messages that other processes have stored.
 *
 * A decision is an entry that follows from the journal (the list of the run's entries), the handler and the clock; it
 * holds only on the journal on which it was made. Messages of other processes may be stored between a decision and its
 * append. The rules, without each of which `test/simulation/plants_test.ts` fails:
 * 1. When a message of another process is applied, all entries that are not stored yet are checked before any call of
 *    the handler sees the message. If one decision no longer holds, all decisions are dropped, and the handler runs
 *    from its top again, on the journal with that message.
 * 2. Outcomes are no decisions, because they record what has happened: `done`, `failed` of a step, `child`, `undone`,
 *    `held` and `limited` are stored before the handler runs again. A `done` whose step has got another outcome is the
 *    exception: it is dropped, together with all decisions. `failed` of the handler is a decision. Attempts in progress
 *    are handed to the next run of the handler, with their timeouts.
 * 3. `woken`, and `took` without a signal, no longer hold after a cancel, or if an open wait could take a stored
 *    signal. They are decided when the handler has seen all that is stored, and has called the waits that follow from
 *    it; after the handler has thrown, none is decided. The handler sees them before they are stored, so that an end of
 *    the run that follows from them is stored by the same append.
 * 4. `took` of a signal always holds by itself; the handler sees it before it is stored. `answered`, `ended`, `again`
 *    and `failing` no longer hold if a cancel is stored that they were decided without, and whenever an earlier
 *    decision no longer holds. Steps that still run when the handler returns are aborted once `ended` is stored. A
 *    cancelled run whose handler throws fails once the handler has called all steps with an `undo` that may have begun
 *    (`Journal.begun`).
 * 5. An entry that says that a step, or an `undo`, is stuck always holds; if an operator's `retried` is stored before
 *    it, it becomes a failed attempt that the next attempt follows at once.
 * 6. `shown` and `staged` are decisions that always hold, and that nobody waits for: a step may begin before they are
 *    stored. Each says how many ends the handler had seen, so that a replay records no view again, and none that is
 *    older than one that is stored.
 * 7. Messages of other processes do not keep the executing node from storing: a process that appends a message notifies
 *    that node, which answers when its append that met a conflict is stored. A process stores few messages of a run
 *    without an answer.
 */
import { encodeValue } from "../../data/encoding.ts";
import { SparseMap } from "../../data/sparse.ts";
import { byteLength, exceeds } from "../../data/utf8.ts";
import { STORED_DEPTH } from "../../data/value_text.ts";
import { type Timer, token } from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";
import { type CatgaError, isCatgaError } from "../../error.ts";
import type { Activity } from "./activity.ts";
import type { DriveHost, GivenAnswer } from "./drive_host.ts";
import type { Ends } from "./ends.ts";
import { type HandOver, type Journal, signalKey, undoName } from "../stored/journal.ts";
import {
  type Again,
  answerKey,
  askedBy,
  type JournalEntry,
  type ListedEntry,
  type NextAttempt,
  type RecordedError,
  type RunLogMessage,
  type ShownEntry,
  type Started,
  type Tried,
} from "../stored/journal_entry.ts";
import { isUnstored, storedText } from "../stored/recorded_error.ts";
import { isCalled, isShown } from "../stored/run_message.ts";
import type { RunRef } from "../stored/run_ref.ts";

/** Dependencies of {@link DriveRecorder}, which stores the entries of a run, on the execution of the run. */
export interface RecordedDrive {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly journal: Journal;
  readonly activity: Activity;
  readonly ends: Ends;
  readonly over: boolean;
  /** True once the node stops: no more attempts begin. */
  readonly leaving: boolean;
  readonly phase: "handler" | "finishing" | "undoing";
  /** True if the run ends because it was cancelled. */
  readonly byCancel: boolean;
  /** Names of steps with an `undo` that may have begun and have no outcome; `undefined`: not known. */
  readonly begun: readonly string[] | undefined;
  /** Returns true if a cancelled run waits for the outcome of this step. */
  needsOutcome(step: string): boolean;
  /** Returns true if a wait of the handler, whose end is not stored yet, could take a stored signal. */
  couldTakeSignal(): boolean;
  /** Called after messages of other processes were applied to the journal. */
  hasNews(): void;
  stop(end: "superseded" | "restart"): void;
  /** Called with the error if an append fails. */
  broken(error: unknown): void;
}

/** Records and stores the entries of a run during one execution of it. */
export class DriveRecorder {
  readonly #drive: RecordedDrive;
  readonly #host: DriveHost;
  readonly #ref: RunRef;
  readonly #journal: Journal;
  readonly #activity: Activity;
  readonly #ends: Ends;
  /** True once a message was read that says that another node executes the run. */
  #lost = false;
  /** Life of the run in which the steps of this execution began. */
  readonly #life: number;
  /** Time at which this node was last known to execute the run, by the monotonic clock. */
  #confirmed: number;
  /** The read of the run before an attempt; `undefined`: there is none. */
  #confirming: Promise<void> | undefined;
  /** Name of the message that is being appended: it may be read before the append is acknowledged. */
  #appending: string | undefined;
  /** Entries that are not stored yet. */
  #queue: JournalEntry[] = [];
  /** The append in progress; `undefined`: there is none. */
  #storing: Promise<void> | undefined;
  /**
   * True if the handler has to restart, for one of two reasons: an entry that waits to be stored contradicts an entry
   * that another process has stored (rule 1 at the top of this file), or the handler has seen ends of calls in another
   * order than they are stored in.
   */
  #mustRestart = false;
  /** True once the end of the run is recorded: no entry is recorded after it. */
  #ending = false;
  /** True once a cancel of the run is recorded, even if it is not stored yet. */
  #cancelling = false;
  /** Entries of the append in progress. */
  #inFlight: readonly JournalEntry[] = [];
  /** Entries that were left out of the append in progress because its message would be too large. */
  readonly #splitOff: JournalEntry[] = [];
  /**
   * A promise while messages of other processes keep this node from appending entries; it resolves when the delayed
   * append is stored, or the execution of the run has ended.
   */
  #starved: PromiseWithResolvers<void> | undefined;
  /**
   * True if no attempt may begin before a new entry `held` (this node executes the run) is stored, even if the journal
   * already names this node.
   */
  #mustHold: boolean;
  /**
   * Outcomes that were recorded after an entry `ended` which is not stored yet: they are stored if that entry is
   * dropped.
   */
  readonly #behindEnd: JournalEntry[] = [];
  /** The view that the handler has shown last, while it waits for an entry with which it is stored. */
  #shown: ShownEntry | undefined;
  #shownTimer: Timer | undefined;
  /** The time at which {@link DriveRecorder.#shownTimer} fires, in ms since 1970. */
  #shownDue = 0;
  /** Set while outcomes of a list's steps may wait for further ones. */
  #gathering: Timer | undefined;
  /** By step: its progress that is not queued yet, and the time at which it is due, in ms since 1970. */
  readonly #progress = new SparseMap<string, { readonly value: unknown; readonly due: number }>();
  /** Number of ends after which an earlier execution of the run has recorded a view; -1: none has. */
  readonly #shownBefore: number;

  /**
   * `mustHold`: true if this node has given the run up at an earlier time, so that another node may be about to take it
   * over. `readAt`: as of {@link DriveOptions.readAt}.
   */
  constructor(drive: RecordedDrive, mustHold: boolean, readAt = drive.host.clock.monotonic()) {
    this.#drive = drive;
    this.#host = drive.host;
    this.#life = drive.journal.life;
    this.#confirmed = readAt;
    this.#ref = drive.ref;
    this.#journal = drive.journal;
    this.#activity = drive.activity;
    this.#ends = drive.ends;
    this.#mustHold = mustHold;
    this.#shownBefore = drive.journal.view?.after ?? -1;
  }

  /** Time at which this node was last known to execute the run, by the monotonic clock. */
  get confirmedAt(): number {
    return this.#confirmed;
  }

  /** Number of entries that wait to be stored. */
  get queued(): number {
    return this.#queue.length + (this.#shown === undefined ? 0 : 1) + this.#progress.size;
  }

  /** True once a cancel of the run is recorded, even if it is not stored yet. */
  get isCancelling(): boolean {
    return this.#cancelling;
  }

  /**
   * `together`: for an entry about a step of a list, as of {@link CalledStep.together}. The outcomes of such steps wait
   * until there are as many, until nothing else is in progress, or a second.
   */
  record(entry: JournalEntry, together?: number): void {
    if (this.#drive.over) return this.#tellLate(entry);
    if (together !== undefined) LISTED.set(entry, together);
    if (this.#ending) {
      if (OUTCOMES.has(entry.t)) this.#behindEnd.push(entry);
      return;
    }
    this.#cancelling ||= entry.t === "cancelled";
    this.#queueShown(entry);
    this.#queue.push(entry);
    this.#ending = entry.t === "ended" || entry.t === "again";
    if (ENDS.has(entry.t) && "step" in entry) this.#ends.record(entry.step);
    if (together !== undefined) this.#gather();
    this.#activity.askForTurn();
  }

  /**
   * Records a view that the handler shows, unless an earlier execution of the run has recorded it: of what the handler
   * shows between two ends that it sees, the last counts. The view is stored together with the entry that is recorded
   * next; alone, if none is for {@link SHOWN_ALONE} ms, or nothing is in progress. Until then a later view replaces it.
   * `began`: for a view that a step shows while it runs, when its attempt began, in ms since 1970. No replay shows it,
   * so it is always recorded; alone as seldom as {@link DriveRecorder.progress}.
   */
  show(view: ShownEntry, began?: number): void {
    const after = this.#ends.seen;
    if (this.#drive.over || this.#ending || (began === undefined && after <= this.#shownBefore)) return;
    this.#shown = { ...view, after };
    const now = this.#host.clock.now();
    const due = now + pauseOf(now, began);
    if (this.#shownTimer === undefined || due < this.#shownDue) {
      this.#shownTimer?.cancel();
      this.#shownDue = due;
      this.#shownTimer = this.#activity.timer(due - now, () => {
        this.#shownTimer = undefined;
        this.storeShown();
      }, true);
    }
    if (began === undefined) this.#activity.askForTurn();
  }

  /**
   * Records how far a step is. It is stored with an entry that is recorded once it is due, or alone then: after {@link
   * SHOWN_ALONE} ms, or a hundredth of the time that the attempt has taken, so that a step of a day adds some hundred
   * entries. Until then a later value replaces it. It is stored at once if the attempt fails, or nothing else is in
   * progress; and not if the step ends. `began`: when the attempt began, in ms since 1970.
   */
  progress(step: string, value: unknown, began: number): void {
    if (this.#drive.over || this.#ending) return;
    const pending = this.#progress.get(step);
    if (pending !== undefined) return void this.#progress.set(step, { ...pending, value });
    const now = this.#host.clock.now();
    const pause = pauseOf(now, began);
    this.#progress.set(step, { value, due: now + pause });
    this.#activity.timer(pause, () => {
      this.#queueShown();
      this.flush();
    }, true);
  }

  #gather(): void {
    this.#gathering ??= this.#activity.timer(SHOWN_ALONE, () => {
      this.#gathering = undefined;
      this.flush();
    }, true);
  }

  /** True while the outcomes of a list's steps wait for further ones, with which they are stored. */
  get #isGathering(): boolean {
    const most = LISTED.get(this.#queue[0]) ?? 0;
    return this.#gathering !== undefined && this.#queue.length < most && this.#activity.isGoingOn &&
      this.#queue.every(isListedEnd);
  }

  /** Begins to store the view and the progress that wait for another entry. Returns false if there is none. */
  storeShown(): boolean {
    if (this.#ending || (this.#shown === undefined && this.#progress.size === 0)) return false;
    this.#queueShown("all");
    this.flush();
    return true;
  }

  /**
   * Queues the view, and the progress of steps that is due, before an entry. "all": also progress that is not due.
   * Nothing is queued behind the end of the run, which has to be the last entry of its message.
   */
  #queueShown(before?: JournalEntry | "all"): void {
    if (this.#ending) return;
    if (this.#shown !== undefined) this.#queue.push(this.#shown);
    this.#shown = undefined;
    if (this.#progress.size === 0) return;
    const now = this.#host.clock.now();
    for (const [step, { value, due }] of this.#progress) {
      const isOf = before !== "all" && before !== undefined && "step" in before && before.step === step;
      const hasFailed = isOf && before.t === "failed";
      const isOver = this.#journal.isSettled(step) || (isOf && !hasFailed);
      if (!isOver && !hasFailed && before !== "all" && due > now) continue;
      this.#progress.delete(step);
      if (!isOver) this.#queue.push({ t: "progress", step, value });
    }
  }

  /** Records that the run begins anew; what the next life takes over is filled in when the entry is stored. */
  recordAgain(started: Started, ended: Pick<HandOver, "unseen" | "givenBack" | "schedules">): void {
    const pending: PendingAgain = { ...ended, parts: [], carried: new Set(), unanswered: [] };
    this.record(this.#again({ by: this.#host.endpoint, started }, [], this.#host.log.now, pending));
  }

  /**
   * Makes the entry `again` that is stored behind `before`: made anew for each attempt to store it, because it hands
   * over what other processes have stored until then, too.
   */
  #again(
    again: Pick<Again & { readonly by: string }, "by" | "started">,
    before: readonly JournalEntry[],
    time: number,
    pending: PendingAgain,
  ): Again & { readonly by: string } {
    const entry = this.#journal.handOver(again, before, time, pending);
    PENDING.set(entry, pending);
    return entry;
  }

  /**
   * Records that a step is stuck: an operator has to decide. `thrown`: the thrown error, if any. `next`: for the failed
   * attempt of a step or `undo`, what follows it on another node; "tried": an entry `tried` has counted the attempt.
   */
  refuse(step: string, error: RecordedError, thrown?: unknown, next?: NextAttempt | "tried"): void {
    if (this.#drive.over) return;
    const entry = { ...this.failedAttempt(step, error), ...(next === "tried" ? { tried: true } : {}) };
    if (next !== undefined && next !== "tried") noteAttempt(entry, next);
    THROWN.set(entry, thrown);
    DECIDED_AT.set(entry, this.#journal.entries);
    this.record(entry);
  }

  /**
   * Records that a step is stuck, and restarts the handler, so that nothing else is done before an operator decides.
   */
  recordStuck(step: string, error: RecordedError): void {
    this.refuse(step, error);
    this.restart();
  }

  /**
   * Makes an entry `failed` that says that no attempt follows. An entry about the handler (empty `step`) also names the
   * steps with an `undo` that may have begun, if they are known.
   */
  failedAttempt(step: string, error: RecordedError): JournalEntry & { readonly t: "failed" } {
    const begun = step === "" ? this.#drive.begun : undefined;
    return {
      ...{ t: "failed", step, error },
      ...(this.#drive.needsOutcome(step) ? { undo: true } : {}),
      ...(begun !== undefined && begun.length <= MAX_BEGUN ? { begun } : {}),
    };
  }

  /** Stores all entries that were recorded so far. Resolves with `false` if the execution of the run has ended. */
  async stored(): Promise<boolean> {
    while (!this.#drive.over && this.#isStoring) {
      await this.#storeQueue();
    }
    return !this.#drive.over;
  }

  /**
   * Stores all recorded entries, and an entry which says that this node executes the run. Await it before an attempt
   * begins. `step`: name of a step with an `undo`: if it is not in {@link Journal.begun}, a new entry `held` is stored,
   * which discards that list. Resolves with `false` if the execution of the run has ended, or no attempt may begin.
   * `together`: for a step of a list that has nothing to be undone, as of {@link CalledStep.together}: it may begin
   * while as many outcomes of such steps are not stored, since nothing but these is lost with this process.
   */
  async ready(step?: string, together = 0): Promise<boolean> {
    while (this.#mayBegin) {
      const { endpoint } = this.#host;
      const { holder, begun } = this.#journal;
      const isUnknown = step !== undefined && begun !== undefined && !begun.has(step);
      const mustHold = holder !== endpoint || this.#mustHold || isUnknown;
      if (mustHold && !this.#queue.some(isHeld) && !this.#inFlight.some(isHeld)) {
        this.#mustHold = false;
        this.#queueShown();
        const shape = this.#host.shapeOf(this.#ref.workflow);
        this.#queue.push({ t: "held", ...(shape === this.#journal.shape ? {} : { shape }) });
      }
      if (!this.#isStoring || this.#mayGoAhead(together)) {
        if (this.#host.clock.monotonic() - this.#confirmed <= CONFIRMED_FOR) return true;
        // this process may have stood still: another node may execute the run, and have made further attempts
        await (this.#confirming ??= this.#confirm());
        continue;
      }
      // a step of a list looks again after each append: what others of the list have recorded meanwhile may wait
      await (together > 0 ? this.#storeQueue() : this.stored());
    }
    return false;
  }

  /** Reads the run once; if it cannot be read now, attempts begin, as their steps would else wait for the store. */
  async #confirm(): Promise<void> {
    const { clock } = this.#host;
    for (let left = MAX_READS; left > 0; left--) {
      const began = clock.monotonic();
      const isRead = await this.readNews();
      const now = clock.monotonic();
      this.#confirmed = Math.max(this.#confirmed, isRead ? began : now);
      // a read that failed while this process stood still says nothing of the store
      if (isRead || !stoodStill(now, began + CONFIRMED_FOR)) break;
    }
    this.#confirming = undefined;
  }

  #mayGoAhead(together: number): boolean {
    const isRoom = together > 1 && this.#queue.length < together && !this.#mustRestart;
    return isRoom && [...this.#inFlight, ...this.#splitOff, ...this.#queue].every(isListedEnd);
  }

  get #mayBegin(): boolean {
    return !this.#drive.over && !this.#drive.leaving && !this.#ending;
  }

  /**
   * Calls `then` once all entries that were recorded so far are stored; never if the execution of the run ends before.
   */
  after(then: () => void): void {
    this.#activity.work(async () => {
      if (await this.stored()) then();
    });
  }

  /** Restarts the handler once all recorded entries are stored, including outcomes that are recorded until then. */
  restart(): void {
    this.#activity.work(async () => {
      while (this.#isStoring) if (!await this.stored()) return;
      this.#drive.stop("restart");
    });
  }

  get #isStoring(): boolean {
    return this.#queue.length > 0 || this.#storing !== undefined;
  }

  /**
   * Begins to store the queued entries, if there are any. Called in each turn of the execution ({@link
   * ActivityHost.turn}) in which the handler has seen all stored ends.
   */
  flush(): void {
    if (this.#queue.length > 0 && !this.#isGathering) void this.#storeQueue();
  }

  /** Stores the queued entries, after the append in progress if there is one: a run has one append at a time. */
  #storeQueue(): Promise<void> {
    return this.#storing ??= this.#activity.during(() => this.#store());
  }

  async #store(): Promise<void> {
    this.#gathering?.cancel();
    this.#gathering = undefined;
    this.#queueShown();
    const entries = this.#inFlight = this.#queue.splice(0, MAX_TOGETHER);
    const before = this.#journal.length;
    try {
      if (entries.some(isStuck)) await this.#noteStuck(entries);
      if (!await this.#append(entries)) return this.#superseded();
      if (this.#mustRestart) {
        // while the handler has to restart, decisions are dropped, and only outcomes are stored
        while (this.#queue.length + this.#behindEnd.length > 0) {
          const more = [...this.#queue.splice(0), ...this.#behindEnd.splice(0)].filter((entry) =>
            this.#isOutcome(entry)
          );
          await this.#noteStuck(more);
          if (!await this.#append(more)) return this.#superseded();
        }
        return this.#drive.stop("restart");
      }
      const now = this.#journal.length;
      if (before < WARN_ENTRIES && now >= WARN_ENTRIES) {
        this.#host.app.observer({ type: "run-long", ...this.#ref, entries: now });
      }
    } catch (error) {
      if (isCatgaError(error) && error.code === "TOO_LARGE" && entries.at(-1)?.t === "again") this.#endLifeLater(error);
      else this.#drive.broken(error);
    } finally {
      this.#storing = undefined;
    }
  }

  /** The next life does not fit into a message: an operator has to decide. What came before it is stored. */
  #endLifeLater({ code, message }: CatgaError): void {
    this.#inFlight = [];
    this.#splitOff.length = 0;
    this.#ending = false;
    this.#queue.push(...this.#behindEnd.splice(0));
    this.recordStuck("", { code, message: `the next life of the run cannot be stored: ${message}` });
  }

  /**
   * Ends this execution of the run, because another node executes the run, or the run is no more. If another node does,
   * it is told how attempts have ended here: it may be performing the same steps, and a step that blocks its process
   * for longer than a takeover takes would otherwise run at each node in turn, without an outcome, and without end if
   * it fails.
   */
  #superseded(): void {
    if (this.#drive.over) return; // an append and a read may both find it: an attempt counts once
    const { life } = this.#journal;
    const tried = [...this.#inFlight, ...this.#splitOff, ...this.#queue, ...this.#behindEnd].flatMap((entry) => {
      const told = triedBy(entry, life);
      return told === undefined || this.#journal.isSettled(told.step) ? [] : [told];
    });
    if (this.#isTold && tried.length > 0) this.#host.tried(this.#ref, tried);
    this.#drive.stop("superseded");
  }

  /** Tells how an attempt has ended that went on here after another node had taken the run over. */
  #tellLate(entry: JournalEntry): void {
    const told = triedBy(entry, this.#life);
    if (told !== undefined && this.#isTold && !this.#journal.isSettled(told.step)) this.#host.tried(this.#ref, [told]);
  }

  /**
   * True if the node that executes the run now is told how attempts have ended here: not if the store may have lost
   * what led to these steps (the read that has found the other node has found it, but the connection may have broken
   * since), and not in another life, which has other steps.
   */
  get #isTold(): boolean {
    return this.#lost && this.#journal.sure === this.#host.log.epoch && this.#journal.life === this.#life;
  }

  /**
   * Stores a note for operators, before the entry by which the run becomes stuck; retries while the store is
   * unavailable.
   */
  async #noteStuck(entries: readonly JournalEntry[]): Promise<void> {
    for (const entry of entries) {
      if (!isStuck(entry)) continue;
      await this.#activity.insist(
        () => this.#host.stuck(this.#ref, entry.step, entry.error, THROWN.get(entry)),
        isUnstored,
      );
    }
  }

  /**
   * Appends entries after the last message of the run, and applies them. Messages that other processes have stored
   * after the last message that was read are applied first. Resolves with `false` if another node executes the run, or
   * the run no longer exists. Rejects with a `CatgaError`: with `OUTCOME_UNKNOWN` if the entries may be stored.
   */
  async #append(entries: readonly JournalEntry[]): Promise<boolean> {
    const { log, endpoint: holder } = this.#host;
    const [ref, journal] = [this.#ref, this.#journal];
    while (!this.#lost && !this.#drive.over) {
      entries = this.#mustRestart ? entries.filter((entry) => this.#isOutcome(entry)) : entries;
      if (entries.some(isStuck)) entries = entries.map((entry) => this.#asRetried(entry));
      if (entries.length === 0) return true;
      const time = log.now;
      const again = entries.at(-1)!;
      let fresh: readonly GivenAnswer[] = [];
      if (again.t === "again") {
        const before = entries.slice(0, -1);
        const pending = PENDING.get(again)!; // set: recordAgain made the entry
        const whole = this.#again(again, together(before), time, pending);
        const part = partOf(whole, Math.min(MAX_PART, log.mostBytes));
        entries = [...before, whole];
        if (part !== undefined && before.length > 0) {
          this.#splitOff.push(whole);
          if (!await this.#append(before)) return false;
          this.#splitOff.pop();
          entries = [whole];
          continue;
        }
        if (part !== undefined) {
          const name = token(this.#host.app.random, 12);
          const unanswered = unansweredIn(part, journal, before);
          this.#splitOff.push(...entries);
          if (!await this.#append([{ t: "carried", part: name, ...part }])) return false;
          this.#splitOff.splice(-entries.length);
          pending.parts.push(name);
          pending.unanswered.push(...unanswered);
          for (const { n } of part.open) pending.carried.add(n);
          for (const { key } of part.answers) pending.carried.add(signalKey("asked", key));
          for (const [key] of part.ids) pending.carried.add(key);
          continue;
        }
        fresh = [...pending.unanswered, ...unansweredIn(whole, journal, before)];
      }
      const { entries: version, view } = journal;
      const stored = together(entries);
      const message = log.messages.of(ref, stored, { version, holder, time, viewAt: view?.at });
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
      const began = this.#host.clock.monotonic(); // the answer may wait in a socket while this process stands still
      const sequence = await log.append(ref, message, journal, () => this.#drive.over);
      if (sequence !== "conflict") {
        this.#confirmed = Math.max(this.#confirmed, began);
        this.endStarvation();
        this.#apply({ sequence, time, holder, entries: stored, mark: message.mark });
        const answers = [...entries.filter((entry) => entry.t === "answered"), ...fresh];
        if (answers.length > 0) this.#host.answered(ref, answers, sequence);
        if (entries.some(isShown)) this.#host.shown(ref, journal);
        return true;
      }
      this.#starved ??= Promise.withResolvers();
      if (!await this.#readOn()) return false;
      this.#drive.hasNews();
    }
    return false;
  }

  /**
   * Reads and applies messages that other processes have stored. Resolves with `false` if another node executes the
   * run, or the run has ended or no longer exists. Rejects with `UNAVAILABLE` if the run cannot be read.
   */
  async #readOn(): Promise<boolean> {
    const [ref, journal] = [this.#ref, this.#journal];
    const began = this.#host.clock.monotonic();
    const found = await this.#host.log.readOn(ref, journal, (stored) => {
      // the next execution of the run on this node has the same journal: a read that ends after its own execution must
      // not advance it, because the new execution would then append decisions after messages that it has not checked
      if (this.#drive.over) return;
      // skip a message that was applied already: this node's messages are applied when their append is acknowledged
      if (stored.sequence <= journal.sequence) return;
      // a message that has entries of an executing node, and is not this node's append in progress, has one of two
      // causes: another node executes the run, or a message of an earlier execution on this node was stored late. The
      // handler has not seen its entries in either case
      this.#lost ||= stored.mark !== this.#appending && !stored.entries.every(isCalled);
      this.#apply(stored);
    });
    this.#confirmed = Math.max(this.#confirmed, began);
    return found && !this.#lost && journal.ended === undefined;
  }

  /**
   * A promise while messages of other processes keep this node from appending entries to the run; `undefined` while
   * they do not. The promise resolves when the delayed append is stored, or the execution of the run has ended.
   */
  get starved(): Promise<void> | undefined {
    return this.#starved?.promise;
  }

  /** Resolves {@link DriveRecorder.starved}: messages of other processes no longer keep this node from appending. */
  endStarvation(): void {
    this.#starved?.resolve();
    this.#starved = undefined;
  }

  /**
   * Applies a message to the journal, unless it was applied before. One message can come here twice, because messages
   * are also read while an append is in progress.
   */
  #apply(stored: RunLogMessage): void {
    if (stored.sequence <= this.#journal.sequence) return;
    this.#journal.apply(stored);
    if (stored.mark === this.#appending) this.#inFlight = [];
    else this.#checkDecisions();
    this.#mustRestart = this.#ends.takeIn() || this.#mustRestart;
  }

  /**
   * Checks, after a message was applied to the journal, whether the decisions that are not stored yet still hold (are
   * what the handler would decide on this journal); if one does not, the handler restarts.
   */
  #checkDecisions(): void {
    const { cancelled, failing, outcomes } = this.#journal;
    const pending = [...this.#inFlight, ...this.#splitOff, ...this.#queue];
    const isCancelled = cancelled !== undefined && failing === undefined && !this.#drive.byCancel &&
      this.#drive.phase !== "undoing";
    const byTime = (entry: JournalEntry) => entry.t === "woken" || (entry.t === "took" && entry.n === undefined);
    const holds = (entry: JournalEntry) => {
      // a step's end is not stored if an operator has given the step an outcome while its attempt ran
      if (entry.t === "done") return !outcomes.has(entry.step);
      if (HALTED_BY_CANCEL.has(entry.t)) return !isCancelled;
      return !byTime(entry) || !isCancelled;
    };
    this.#mustRestart ||= !pending.every(holds) || (pending.some(byTime) && this.#drive.couldTakeSignal());
  }

  /** Returns true for an entry that records what happened, and so holds whatever the handler has seen. */
  #isOutcome(entry: JournalEntry): boolean {
    if (entry.t === "done") return !this.#journal.outcomes.has(entry.step);
    // an error of the handler is no outcome: it follows from what the handler has seen
    return OUTCOMES.has(entry.t) && !(entry.t === "failed" && entry.step === "");
  }

  /**
   * Returns the entry. If the entry says that a step is stuck, and an operator has retried the run after the entry was
   * made, returns an entry after which the next attempt follows at once.
   */
  #asRetried(entry: JournalEntry): JournalEntry {
    if (!isStuck(entry)) return entry;
    const decidedAt = DECIDED_AT.get(entry) ?? Infinity;
    if (this.#journal.retriedAt < decidedAt) return entry;
    const retried = { ...entry, next: this.#host.log.now };
    const noted = NEXT.get(entry);
    if (noted !== undefined) noteAttempt(retried, noted.next, noted.failure);
    return retried;
  }

  /** Reads and applies messages that other processes have stored. Resolves with `false` if they cannot be read now. */
  async readNews(): Promise<boolean> {
    return await this.#activity.during(async () => {
      try {
        await this.#storing;
        if (!this.#drive.over && !await this.#readOn()) this.#superseded();
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

/** The sources of an entry `again` that is not stored yet; entries `carried` that are stored before it are added. */
interface PendingAgain extends HandOver {
  readonly parts: string[];
  readonly carried: Set<number | string>;
  /** Questions in these entries that the run gives up unanswered. */
  readonly unanswered: GivenAnswer[];
}

/**
 * Returns a part of what an entry `again` hands over, to be stored before it, if the entry has more than so many bytes;
 * `undefined`: it has no more, or nothing that can be stored before it.
 */
function partOf(again: Again, most: number): Pick<Again, "open" | "answers" | "ids"> | undefined {
  const textOf = (value: unknown) => encodeValue(value, "entry", STORED_DEPTH) ?? "";
  const whole = textOf(again);
  const isTagged = storedText(whole) !== whole;
  const stored = (text: string) => byteLength(isTagged ? JSON.stringify(text) : text);
  const bytes = (value: unknown) => stored(textOf(value));
  if (stored(whole) <= most) return undefined;
  let left = most;
  // one that is larger than a part alone is a part of its own
  const some = <T>(all: readonly T[]) =>
    all.filter((one) => {
      const size = left > 0 ? bytes(one) : Infinity;
      if (size > left && left < most) return false;
      left -= size;
      return true;
    });
  const [open, answers, ids] = [some(again.open), some(again.answers), some(again.ids)];
  return open.length + answers.length + ids.length === 0 ? undefined : { open, answers, ids };
}

/** Returns the questions that the run has taken, and gives up unanswered as it begins anew. */
function unansweredIn(
  again: Pick<Again, "answers">,
  { answers }: Journal,
  before: readonly JournalEntry[],
): readonly GivenAnswer[] {
  const own = new Set(before.flatMap((entry) => entry.t === "answered" ? [answerKey(entry.question, entry.id)] : []));
  return again.answers.flatMap((answer) => {
    if (answers.has(answer.key) || own.has(answer.key)) return [];
    return [{ ...askedBy(answer.key), outcome: answer.outcome }];
  });
}

/** Notes that an entry `failed` is about an attempt, what follows it, and the failure if the attempt returned one. */
export function noteAttempt(
  entry: JournalEntry & { readonly t: "failed" },
  next: NextAttempt,
  failure?: RecordedError,
): void {
  NEXT.set(entry, { next, failure });
}

/** Returns what another node is told of an entry that this one could not store; `undefined`: nothing. */
function triedBy(entry: JournalEntry, life: number): Tried | undefined {
  if (entry.t === "undone") return { t: "tried", step: undoName(entry.step), life, outcome: { ok: true } };
  if (entry.t !== "done" && entry.t !== "failed") return undefined;
  const { step, undo } = entry;
  const told = { t: "tried", step, life, ...(undo === undefined ? {} : { undo }) } as const;
  if (entry.t === "done") return { ...told, outcome: entry.outcome };
  const noted = NEXT.get(entry);
  return noted && { ...told, outcome: { ok: false, error: noted.failure ?? entry.error }, next: noted.next };
}

/**
 * By entry `failed` about an attempt of a step or `undo`: what follows it, whichever node decides it, and what the
 * attempt has returned.
 */
const NEXT = new WeakMap<JournalEntry, { readonly next: NextAttempt; readonly failure: RecordedError | undefined }>();

/** Makes one entry of entries about steps of a list that follow each other. */
function together(entries: readonly JournalEntry[]): readonly JournalEntry[] {
  if (!entries.some((entry) => LISTED.has(entry))) return entries;
  const stored: JournalEntry[] = [];
  let listed: ListedEntry[] = [];
  for (const [i, entry] of entries.entries()) {
    if (!LISTED.has(entry)) {
      stored.push(entry);
      continue;
    }
    listed.push(entry as ListedEntry); // safe: `record` is told so of no other types
    if (i + 1 < entries.length && LISTED.has(entries[i + 1])) continue;
    stored.push(listed.length === 1 ? entry : { t: "listed", entries: listed });
    listed = [];
  }
  return stored;
}

/** By entry about a step of a list: how many of its kind are stored together. */
const LISTED = new WeakMap<JournalEntry, number>();
const isListedEnd = (entry: JournalEntry) => entry.t === "done" && LISTED.has(entry);
/** By entry `again`: what it is made from. */
const PENDING = new WeakMap<JournalEntry, PendingAgain>();
/** Types of decisions that no longer hold once a cancel is stored that they were made without. */
const HALTED_BY_CANCEL: ReadonlySet<JournalEntry["t"]> = new Set(["ended", "failing", "answered", "again"]);
/**
 * Maximum size of an entry `again` (with it the run begins anew), in bytes. What is larger is stored in parts of this
 * size before it.
 */
const MAX_PART = 524_288;
/** By entry `failed` which says that an operator has to decide: the thrown value. */
const THROWN = new WeakMap<JournalEntry, unknown>();
/** By entry `failed` which says that an operator has to decide: the number of entries of the run when it was made. */
const DECIDED_AT = new WeakMap<JournalEntry, number>();
/** Types of entries that end a step, sleep or wait. */
const ENDS: ReadonlySet<JournalEntry["t"]> = new Set(["done", "woken", "took"]);
/** Types of entries that record what happened, and so hold whatever the handler has seen. */
const OUTCOMES: ReadonlySet<JournalEntry["t"]> = new Set([
  "held",
  "done",
  "failed",
  "child",
  "limited",
  "undone",
  "progress",
]);
const isHeld = ({ t }: JournalEntry) => t === "held";
/** Returns true for an entry by which a step, or the run, becomes stuck: no further attempt follows. */
const isStuck = (entry: JournalEntry): entry is JournalEntry & { readonly t: "failed" } =>
  entry.t === "failed" && entry.next === undefined;
/** The part of the time that an attempt has taken after which its progress is stored again. */
const PROGRESS_PART = 100;
/** Time for which a view, or the progress of a step, waits for another entry with which it is stored, in ms. */
const SHOWN_ALONE = 1_000;
/** Returns the time for which a report waits for another entry, in ms. `began`: when its attempt began, if any. */
const pauseOf = (now: number, began = now) => Math.max(SHOWN_ALONE, (now - began) / PROGRESS_PART);
/** Maximum number of entries in one append. */
const MAX_TOGETHER = 256;
/** Maximum number of begun steps that an entry about the handler's error names; if there are more, it names none. */
const MAX_BEGUN = 100;
/** Maximum number of reads before an attempt, one after the other, during each of which the process stood still. */
const MAX_READS = 5;
/** Time after an append or a read in which no other node can have taken the run over, in ms. */
const CONFIRMED_FOR = 5_000;
/** Number of entries from which on a run is reported as long. */
const WARN_ENTRIES = 1_000;
