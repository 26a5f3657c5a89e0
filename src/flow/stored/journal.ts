/**
 * The state that follows from the entries of a run (`journal_entry.ts`): pure functions and data, without time, input
 * or output. A run is the list of its entries; `Journal` is their sum, as maps that grow with each entry, so that a
 * long run is resumed in linear time. `steps.ts` records entries, `run_log.ts` stores them, and `drive.ts` shows them
 * to the handler.
 */
import type { RunStatus } from "../../contract/calls/flow.ts";
import { ANSWER_KEEP } from "../../contract/declaration/workflow.ts";
import { SparseMap, SparseSet } from "../../data/sparse.ts";
import { fingerprint } from "../../data/value_text.ts";
import {
  type Again,
  answerKey,
  callbackKey,
  type CalledEntry,
  type JournalEntry,
  type KeptAnswer,
  type NextAttempt,
  type NumberedView,
  type OpenSignal,
  type RecordedError,
  type RecordedOutcome,
  type RunLogMessage,
  type Started,
  type Tried,
  viewIn,
} from "./journal_entry.ts";

/** How often, and when, a step, `undo` or handler has failed. */
export interface Failures {
  /** Number of failed attempts since an operator last retried the run. */
  readonly attempts: number;
  readonly total: number;
  /** Time of the first failed attempt, or of the last retry by an operator, in ms since 1970. */
  readonly first: number;
  /** Time of the last failed attempt, in ms since 1970. */
  readonly last: number;
  readonly error: RecordedError;
  /** Time of the next attempt, in ms since 1970; `undefined`: an operator has to decide. */
  readonly next: number | undefined;
  readonly scheduled: boolean;
  /** True if the step has an `undo`, or starts another run: a cancelled run needs the outcome of the step. */
  readonly undo: boolean;
  /** True if a message that the step sends may have run in one of these attempts, without an outcome. */
  readonly mayHaveRun: boolean;
  /**
   * If an entry `tried` says of the last failed attempt: what follows it. The node that executes the run decides
   * whether the step has an attempt left. `undefined`: `next` says it.
   */
  readonly tried?: NextAttempt | undefined;
}

/** A recorded sleep or wait with a time limit, which has not ended. */
export interface Timed {
  readonly since: number;
  readonly until: number | undefined;
  readonly scheduled: boolean;
}

/** A signal or question that the run has received. */
interface ReceivedSignal extends OpenSignal {
  /** Its kind and name as one text ({@link signalKey}), because signals, questions and callbacks may share a name. */
  readonly key: string;
  /** The wait that took it last: a wait that is given up leaves what it took to another. `undefined`: none. */
  taker: string | undefined;
}

/** A view of a run: what its handler has shown. */
export interface ShownView extends NumberedView {
  /** Sequence of the message with the view. */
  readonly at: number;
  /** Number of ends of steps, sleeps and waits that the handler had seen when it showed the view. */
  readonly after: number;
}

/** Facts of a life that ends which its entries do not say, for {@link Journal.handOver}. */
export interface HandOver {
  /** Steps whose ends the handler has not seen: what they took goes on to the next life. */
  readonly unseen: ReadonlySet<string>;
  /** Numbers of signals that given-up waits took, and that go on to the next life. */
  readonly givenBack: ReadonlySet<number>;
  /** Steps that may have a schedule which no entry records. */
  readonly schedules: readonly string[];
  /** Names of the entries `carried` that are stored before. */
  readonly parts: readonly string[];
  /** Contents of these: numbers of signals, keys of ids, and of answers' ids. */
  readonly carried: ReadonlySet<number | string>;
}

/** Kind of call that a handler makes under a name. Runs that it starts, and sends, are steps. */
export type CallKind = "step" | "sleep" | "wait" | "callback";

/** The state of a run: the sum of its stored entries. */
export class Journal {
  /** Sequence of the last message that was applied; 0: none. */
  sequence = 0;
  /** Name of the last message that was applied. */
  mark = "";
  /**
   * Epoch of the log ({@link RunLog.epoch}, the number of its possible losses) in which the last applied message is
   * known to be stored; -1: in none.
   */
  sure = -1;
  /** Number of entries that were applied. */
  entries = 0;
  holder = "";
  /** Sequence of the message by which the node that executes the run now took it over; 0: the first message. */
  heldAt = 0;
  /**
   * Shape (hash of the declaration) of the workflow on the node that executed the run last, or else in the process that
   * started it. Empty if the workflow's versions have no shape; `"?"` if its validator has no JSON
   * Schema.
   */
  shape = "";
  started: Started | undefined;
  /** Headers of the run, in an object without a prototype; `undefined`: none. */
  headers: Readonly<Record<string, string>> | undefined;
  startedAt = 0;
  changedAt = 0;
  /**
   * By step: its outcome. `index`: number of the entry with the outcome; `undo`: true if the step had an `undo` when
   * the outcome was recorded.
   */
  readonly outcomes = new Map<string, RecordedOutcome & { readonly index: number; readonly undo: boolean }>();
  /** Steps whose outcome an operator gave by hand, and of which no other entry exists. */
  readonly strays = new SparseSet<string>();
  /** The names of steps, sleeps and waits that have ended, in the order of their ends. */
  readonly ends: string[] = [];
  /** Failed attempts of the steps that have no outcome, by step, and of the handler, under the empty name. */
  readonly failures = new SparseMap<string, Failures>();
  /**
   * Names of steps with an `undo` that may have begun, and had no outcome when the handler threw; `undefined`: not
   * known, because a process may have continued the run after the handler threw, or did not know which steps earlier
   * processes had begun.
   */
  begun: ReadonlySet<string> | undefined;
  /** Steps, ended ones included, of which a failed attempt is recorded. */
  readonly everFailed = new SparseSet<string>();
  /** Names of all steps with an `undo` that, by any recorded error of the handler, may have begun. */
  readonly everBegun = new SparseSet<string>();
  readonly sleeps = new SparseMap<string, Timed>();
  /** Sleeps that have ended: by name, the number of the entry that ended the sleep. */
  readonly woken = new SparseMap<string, number>();
  readonly waits = new SparseMap<string, Timed & { readonly signal: string; readonly callback: boolean }>();
  /**
   * Waits that have ended: by name, `n`, the number of the signal that the wait took (`undefined`: it timed out), and
   * `index`, the number of the entry. `callback`: true if it was the wait of a callback.
   */
  readonly took = new SparseMap<
    string,
    { readonly n: number | undefined; readonly index: number; readonly callback: boolean }
  >();
  /**
   * By {@link signalKey} of a signal or question: the numbers of those received that no wait has taken, oldest first.
   */
  readonly signals = new SparseMap<string, Set<number>>();
  /** The answers to questions, by {@link answerKey}. */
  readonly answers = new SparseMap<string, Omit<KeptAnswer, "key">>();
  /** The secret from which tokens of callbacks are made; it goes on over all lives. `undefined`: there is none. */
  secret: string | undefined;
  /** By {@link callbackKey}: callbacks that were completed, in this life, or a short time ago in an earlier one. */
  readonly completed = new SparseMap<string, { readonly outcome: string; readonly at: number }>();
  /** Number of the run's life: 1, and one more with each `flow.again`. */
  life = 1;
  /** Sequence of the message that began this life; 0: it is the first. */
  lifeAt = 0;
  /** Number of entries before this life. */
  base = 0;
  /**
   * Stored beginnings of lives, the oldest first, at most one a second: `first`, the sequence of the first message that
   * the life needs, and `time`, when the life began, in ms since 1970.
   */
  readonly lives: { readonly first: number; readonly time: number }[] = [];
  readonly children = new SparseMap<
    string,
    { readonly workflow: string; readonly run: string; readonly since: number; readonly undo: boolean }
  >();
  readonly undone = new SparseSet<string>();
  /** By step without an outcome: the progress that it has reported last. `since`: when it reported the first. */
  readonly progress = new SparseMap<string, { readonly value: unknown; readonly since: number }>();
  /** The view that the handler has shown last; `undefined`: none. */
  view: ShownView | undefined;
  cancelled: { readonly index: number; readonly error: RecordedError } | undefined;
  failing: { readonly index: number; readonly error: RecordedError } | undefined;
  limited = false;
  /** Number of the last entry by which an operator retried the run; -1: none. */
  retriedAt = -1;
  ended: RecordedOutcome | undefined;
  endedAt = 0;
  /** Number of takeovers of the run, from one node to the next, since the last entry of another kind was recorded. */
  takeovers = 0;
  /** By number, which goes on over all lives. */
  readonly #signals = new SparseMap<number, ReceivedSignal>();
  /** Number of the next signal or question. */
  #next = 0;
  /**
   * By key and id of a signal or question: when it was stored, in ms since 1970; -Infinity for an id that counts in
   * this life alone, because no program has given it. (A run of 130 signals a second would else hand 16,000 over.)
   */
  readonly #ids = new SparseMap<string, number>();
  /** The entries `carried` of this life by name, each with the sequence of its message. */
  readonly #parts = new SparseMap<string, Pick<Again, "open" | "answers" | "ids"> & { readonly sequence: number }>();
  /** Steps whose pause before the next attempt was cut short because the run was cancelled. */
  readonly #hastened = new SparseSet<string>();
  /** By step: the time of the schedule that was stored for it, in ms since 1970. */
  readonly #schedules = new SparseMap<string, number>();
  /** Number of entries of this life that report the end of a child. */
  #childEnds = 0;
  /** Recorded outcomes of child runs that have ended, by the parent's step together with the child. */
  readonly #told = new SparseMap<string, RecordedOutcome>();

  /** Applies a stored message to the state. Call it once for each message of the run, in order. */
  apply({ sequence, time, holder, entries, mark }: RunLogMessage): void {
    this.sequence = sequence;
    this.mark = mark;
    this.holder = holder ?? this.holder;
    this.changedAt = time;
    for (const entry of entries) {
      this.#entry(entry, time);
      this.entries++;
    }
  }

  /** Number of entries of this life that count towards its maximum: a child counts once, with its start. */
  get length(): number {
    return this.entries - this.base - this.#childEnds;
  }

  /** Returns the signal or question with this number. */
  signal(n: number): Readonly<ReceivedSignal> | undefined {
    return this.#signals.get(n);
  }

  /** Returns true if a question with this id was asked, and neither it nor its answer is forgotten. */
  wasAsked(question: string, id: string): boolean {
    return this.#ids.has(`${signalKey("asked", question)} ${id}`);
  }

  /** Returns true if a signal with the name and id of this one was received, and the id is not forgotten. */
  hasReceived(entry: CalledEntry): boolean {
    return entry.t === "signalled" && this.#ids.has(`${signalKey("signalled", entry.signal)} ${entry.id}`);
  }

  /** The questions that have no answer, the oldest first. */
  get unanswered(): readonly OpenSignal[] {
    return [...this.#signals.values()].filter(({ t, name, id = "" }) =>
      t === "asked" && !this.answers.has(answerKey(name, id))
    );
  }

  /** Returns true if the callback of this name, of this life of the run, can be completed. */
  isOpenCallback(life: number, step: string): boolean {
    const isGoingOn = this.ended === undefined && this.cancelled === undefined && this.failing === undefined;
    return isGoingOn && life === this.life && !this.took.has(step) && !this.completed.has(callbackKey(life, step));
  }

  /**
   * Makes the entry `again` that follows the entries `before`, stored together with it at `time`, from the start of the
   * next life.
   */
  handOver(
    { by, started }: Pick<Again & { readonly by: string }, "by" | "started">,
    before: readonly JournalEntry[],
    time: number,
    { unseen, givenBack, schedules, parts, carried }: HandOver,
  ): Again & { readonly by: string } {
    const takers = new Map([...this.#signals].map(([n, { taker }]) => [n, taker]));
    const answers = new Map(this.answers);
    for (const entry of before) {
      if (entry.t === "took" && entry.n !== undefined) takers.set(entry.n, entry.step);
      else if (entry.t === "answered") answers.set(answerKey(entry.question, entry.id), entry);
    }
    const secret = this.secret ?? before.find((entry) => entry.t === "secret")?.secret;
    const completed = [...this.completed].flatMap(([key, { outcome, at }]) =>
      at > time - KEPT ? [[key, outcome, at] as const] : []
    );
    let view: NumberedView | undefined = this.view;
    for (const [i, entry] of before.entries()) view = viewIn(entry, this.entries + i) ?? view;
    const open: OpenSignal[] = [];
    for (const [n, { key: _, taker: __, ...one }] of this.#signals) {
      if (one.t === "completed") continue; // a callback ends with its life
      const taker = takers.get(n);
      if (taker === undefined || unseen.has(taker) || givenBack.has(n)) open.push(one);
      else if (one.t === "asked" && !answers.has(answerKey(one.name, one.id!))) {
        answers.set(answerKey(one.name, one.id!), { outcome: notAnswered("began anew"), until: time + KEPT });
      }
    }
    const kept = [...answers].filter(([, { until }]) => until > time);
    const late = [...this.#schedules].filter(([step, at]) => at > time && step !== TIME_OUT);
    return {
      t: "again",
      by,
      life: this.life + 1,
      at: this.entries + before.length,
      started: { ...started, origin: this.started!.origin ?? fingerprint(this.started!.input) },
      startedAt: this.startedAt,
      next: this.#next,
      open: open.filter(({ n }) => !carried.has(n)),
      answers: kept.flatMap(([key, { outcome, until }]) => carried.has(ASKED + key) ? [] : [{ key, outcome, until }]),
      ids: [...this.#ids].filter(([key, at]) => at > time - KEPT && !key.startsWith(ASKED) && !carried.has(key)),
      ...(parts.length === 0 ? {} : { parts: [...parts] }),
      schedules: [...new Map([...late, ...schedules.map((step) => [step, Infinity] as const)])]
        .map(([step, at]) => [step, Math.min(at, time + MAX_LATE)] as const),
      ...(this.limited ? { limited: true } : {}),
      ...(view === undefined ? {} : { view: { value: view.value, number: view.number } }),
      ...(secret === undefined ? {} : { secret }),
      ...(completed.length === 0 ? {} : { completed }),
    };
  }

  /**
   * Returns the step whose `undo` is recorded under this name; `undefined`: there is none, or the run does not undo its
   * steps.
   */
  undoes(name: string): string | undefined {
    const step = name.slice(UNDO.length);
    return this.failing !== undefined && name.startsWith(UNDO) && this.outcomes.has(step) ? step : undefined;
  }

  /** Returns true if a step has its outcome, or if an `undo` (given by its recorded name) has ended. */
  isSettled(name: string): boolean {
    const undone = this.undoes(name);
    return undone === undefined ? this.outcomes.has(name) : this.undone.has(undone);
  }

  /**
   * Returns what the handler called under this name when it was recorded; `undefined`: nothing is recorded, or only an
   * outcome that an operator gave by hand.
   * @decides a name that a changed handler calls as something else
   */
  kindOf(name: string): CallKind | undefined {
    const { outcomes, strays, failures, children, sleeps, woken, waits, took } = this;
    if (sleeps.has(name) || woken.has(name)) return "sleep";
    const wait = waits.get(name) ?? took.get(name);
    if (wait !== undefined) return wait.callback ? "callback" : "wait";
    if ((outcomes.has(name) && !strays.has(name)) || children.has(name)) return "step";
    // a sleep or wait is stuck under its name, too, where the server has no schedules
    const failed = failures.get(name);
    return failed !== undefined && failed.error.code !== "UNSUPPORTED" ? "step" : undefined;
  }

  /** Returns true if the wait whose end is recorded belongs to a callback. */
  #tookCallback({ step, n }: { readonly step: string; readonly n?: number | undefined }): boolean {
    // a wait that took a signal at once has no other entry
    return this.waits.get(step)?.callback ?? this.#signals.get(n ?? NaN)?.t === "completed";
  }

  #entry(entry: JournalEntry, time: number): void {
    this.takeovers = entry.t === "held" ? this.takeovers + 1 : 0;
    // the handler has got further than in its failed attempt, so that attempt no longer counts
    if (PROGRESS.has(entry.t)) this.failures.delete("");
    switch (entry.t) {
      case "held":
        this.heldAt = this.sequence;
        this.begun = undefined;
        this.shape = entry.shape ?? this.shape;
        return;
      case "started":
        if (this.started === undefined) this.shape = entry.shape ?? "";
        this.started ??= entry;
        this.headers ??= headersOf(entry);
        this.startedAt ||= time;
        return;
      case "done":
        return this.#outcome(entry.step, entry.outcome, entry.undo);
      case "told":
        this.#childEnds++;
        this.#told.set(childKey(entry.step, entry), entry.outcome);
        return this.#childOutcome(entry.step);
      case "skipped": {
        if (isOwn(entry.step)) return;
        const undone = this.undoes(entry.step);
        if (undone === undefined) {
          if (this.kindOf(entry.step) !== "step") this.strays.add(entry.step);
          return this.#outcome(entry.step, { ok: true, value: entry.value });
        }
        this.undone.add(undone);
        return void this.failures.delete(entry.step);
      }
      case "tried":
        return this.#tried(entry, time);
      case "failed": {
        if (entry.scheduled) this.#schedules.set(entry.step, entry.next ?? 0);
        this.everFailed.add(entry.step);
        if (entry.step === "") this.begun = entry.begun && new Set(entry.begun);
        for (const step of entry.begun ?? []) this.everBegun.add(step);
        // an operator has skipped the step while the attempt ran, so the failure of the attempt does not count
        if (this.isSettled(entry.step)) return;
        const before = this.failures.get(entry.step);
        this.failures.set(entry.step, {
          attempts: (before?.attempts ?? 0) + (entry.tried ? 0 : 1),
          total: (before?.total ?? 0) + (entry.tried ? 0 : 1),
          first: before === undefined || before.attempts === 0 ? time : before.first,
          ...{ last: time, error: entry.error, next: entry.next, scheduled: entry.scheduled ?? false },
          undo: entry.undo ?? before?.undo ?? false,
          mayHaveRun: (before?.mayHaveRun ?? false) || MAY_HAVE_RUN.has(entry.error.code),
        });
        this.#hasten(entry.step);
        return;
      }
      case "slept":
      case "waits": {
        const timed = { since: time, until: entry.until, scheduled: entry.scheduled ?? false };
        if (timed.scheduled) this.#schedules.set(entry.step, timed.until ?? 0);
        this.failures.delete(entry.step);
        if (entry.t === "slept") this.sleeps.set(entry.step, timed);
        else this.waits.set(entry.step, { ...timed, signal: entry.signal, callback: entry.callback ?? false });
        return;
      }
      case "woken":
        if (!this.woken.has(entry.step)) this.ends.push(entry.step);
        this.woken.set(entry.step, this.entries);
        this.sleeps.delete(entry.step);
        return;
      case "took":
        if (!this.took.has(entry.step)) this.ends.push(entry.step);
        this.took.set(entry.step, { n: entry.n, index: this.entries, callback: this.#tookCallback(entry) });
        this.waits.delete(entry.step);
        if (entry.n !== undefined) {
          const taken = this.#signals.get(entry.n);
          this.signals.get(taken?.key ?? "")?.delete(entry.n);
          if (taken !== undefined) taken.taker = entry.step;
        }
        return;
      case "signalled":
        return this.#receive({ ...idOf(entry), t: "signalled", name: entry.signal, value: entry.value, at: time });
      case "asked":
        return this.#receive({ ...idOf(entry), t: "asked", name: entry.question, value: entry.value, at: time });
      case "secret":
        this.secret ??= entry.secret;
        return;
      case "completed": {
        const { step, life, outcome } = entry;
        if (!this.isOpenCallback(life, step)) return;
        this.completed.set(callbackKey(life, step), { outcome: outcomeText(outcome), at: time });
        return this.#receive({ t: "completed", name: step, value: outcome, at: time });
      }
      case "answered": {
        const { question, id, outcome, until } = entry;
        const key = answerKey(question, id);
        if (!this.answers.has(key)) this.answers.set(key, { outcome, until });
        return;
      }
      case "carried":
        return void this.#parts.set(entry.part, { ...entry, sequence: this.sequence });
      case "again":
        return this.#again(entry, time);
      case "listed":
        for (const one of entry.entries) this.#entry(one, time);
        return;
      case "child":
        this.children.set(entry.step, {
          ...{ workflow: entry.workflow, run: entry.run },
          ...{ since: time, undo: entry.undo ?? false },
        });
        return this.#childOutcome(entry.step);
      case "cancelled":
        this.cancelled ??= { index: this.entries, error: { code: entry.code, message: entry.reason } };
        // the handler's last failed attempt no longer counts, so that the run does not wait because of it
        this.failures.delete("");
        for (const step of this.failures.keys()) this.#hasten(step);
        return;
      case "retried":
        this.retriedAt = this.entries;
        for (const [step, failures] of this.failures) {
          this.failures.set(step, { ...failures, attempts: 0, first: time, next: 0, tried: undefined });
        }
        return;
      case "staged":
      case "shown":
        this.view = {
          ...{ value: undefined, ...viewIn(entry, this.entries)!, at: this.sequence },
          after: entry.after ?? this.ends.length,
        };
        return;
      case "progress":
        if (this.isSettled(entry.step)) return;
        this.progress.set(entry.step, { value: entry.value, since: this.progress.get(entry.step)?.since ?? time });
        return;
      case "limited":
        this.limited = true;
        this.#schedules.set(TIME_OUT, this.startedAt + (this.started?.timeout ?? 0));
        this.failures.delete(TIME_OUT);
        return;
      case "failing":
        if (this.failing === undefined) this.failures.clear(); // from now on, failures of `undo` functions are counted
        this.failing ??= { index: this.entries, error: entry.error };
        return;
      case "undone":
        this.undone.add(entry.step);
        this.failures.delete(undoName(entry.step));
        return;
      case "ended":
        this.ended ??= entry.outcome;
        for (const step of entry.schedules ?? []) this.#schedules.set(step, Infinity);
        this.endedAt ||= time;
        return;
    }
  }

  /** Applies how an attempt ended at a node from which another one had taken the run over. */
  #tried({ step, life, outcome, next, undo }: Tried, time: number): void {
    const undone = this.undoes(step);
    // a step of the same name in another life is another step; and only the run's own steps are undone
    const isForeign = life !== this.life || isOwn(step) || (isUndo(step) && undone === undefined);
    if (isForeign || this.isSettled(step)) return;
    if (next !== undefined) return this.#triedInVain(step, outcome, next, undo, time);
    if (undone === undefined) return this.#outcome(step, outcome, undo);
    if (!outcome.ok) return;
    this.undone.add(undone);
    this.failures.delete(step);
  }

  /** Counts a failed attempt, after which the next one may begin as soon as without it. */
  #triedInVain(step: string, { error }: RecordedOutcome, next: NextAttempt, undo: boolean | undefined, time: number) {
    if (error === undefined) return;
    const before = this.failures.get(step);
    const isStuck = before !== undefined && before.next === undefined;
    this.everFailed.add(step);
    this.failures.set(step, {
      attempts: (before?.attempts ?? 0) + 1,
      total: (before?.total ?? 0) + 1,
      first: before === undefined || before.attempts === 0 ? time : before.first,
      last: time,
      error,
      next: before === undefined ? 0 : before.next,
      scheduled: before?.scheduled ?? false,
      undo: undo ?? before?.undo ?? false,
      mayHaveRun: (before?.mayHaveRun ?? false) || MAY_HAVE_RUN.has(error.code),
      tried: isStuck ? undefined : before?.tried === "never" ? "never" : next,
    });
    this.#hasten(step);
  }

  /** Numbers a signal or question, unless its id is known. */
  #receive(received: Omit<OpenSignal, "n">): void {
    const { t, name, id } = received;
    const key = signalKey(t, name);
    if (id !== undefined && this.#ids.has(`${key} ${id}`)) return;
    this.#add({ n: this.#next++, ...received });
  }

  #add(received: OpenSignal): void {
    const { n, t, name, id, made = false, at } = received;
    const key = signalKey(t, name);
    if (id !== undefined) this.#ids.set(`${key} ${id}`, made ? -Infinity : at);
    this.#signals.set(n, { ...received, key, taker: undefined });
    const of = this.signals.get(key);
    if (of === undefined) this.signals.set(key, new Set([n]));
    else of.add(n);
  }

  /** Begins a life: all that follows from earlier entries is dropped, and set from this entry. */
  #again(entry: Again, time: number): void {
    const parts = (entry.parts ?? []).flatMap((part) => this.#parts.get(part) ?? []);
    const first = Math.min(this.sequence, ...parts.map(({ sequence }) => sequence));
    const all = [...parts, entry];
    const ofLife: readonly { clear(): void }[] = [
      ...[this.outcomes, this.strays, this.failures, this.everFailed, this.everBegun, this.sleeps, this.woken],
      ...[this.waits, this.took, this.signals, this.children, this.undone, this.answers, this.#signals, this.#ids],
      ...[this.#hastened, this.#schedules, this.#told, this.#parts, this.progress, this.completed],
    ];
    for (const one of ofLife) one.clear();
    this.ends.length = 0;
    this.begun =
      this.cancelled =
      this.failing =
      this.ended =
        undefined;
    this.retriedAt = -1;
    this.endedAt = this.takeovers = this.#childEnds = 0;
    const { started, startedAt, life, at, next, limited = false, view, secret, completed = [] } = entry;
    this.secret = secret;
    for (const [key, outcome, at] of completed) this.completed.set(key, { outcome, at });
    this.started = started;
    this.shape = started.shape ?? "";
    this.headers = headersOf(started);
    this.startedAt = startedAt;
    this.life = life;
    this.entries = this.base = at;
    this.heldAt = this.lifeAt = this.sequence;
    this.#next = next;
    this.limited = limited;
    this.view = view && { value: view.value, number: view.number, at: this.sequence, after: -1 };
    for (const { ids } of all) for (const [key, at] of ids) this.#ids.set(key, at);
    const open = all.flatMap(({ open }) => open).sort((a, b) => a.n - b.n);
    for (const one of open) this.#add(one);
    for (const { key, outcome, until } of all.flatMap(({ answers }) => answers)) {
      this.answers.set(key, { outcome, until });
      this.#ids.set(`${ASKED}${key}`, until);
    }
    for (const [step, at] of entry.schedules) this.#schedules.set(step, at);
    if (limited) this.#schedules.set(TIME_OUT, startedAt + (started.timeout ?? 0));
    if (time - (this.lives.at(-1)?.time ?? -Infinity) >= LIVES_PAUSE) this.lives.push({ first, time });
  }

  /**
   * If the run is cancelled, lets the next attempt of a failed step begin at once instead of after its pause. This
   * happens once for each step, so the pauses after later failures are kept. A handler that is stuck is called again,
   * too: a cancelled run can end without the handler getting further.
   */
  #hasten(step: string): void {
    const failures = this.failures.get(step);
    if (this.cancelled === undefined || this.failing !== undefined || this.#hastened.has(step)) return;
    if (failures === undefined || (failures.next === undefined && step !== "")) return;
    this.#hastened.add(step);
    this.failures.set(step, { ...failures, next: 0 });
  }

  /** The schedules that resume the run: by step, the time in ms since 1970. */
  get scheduled(): readonly (readonly [step: string, at: number])[] {
    const { failures, sleeps, waits, limited, started, startedAt } = this;
    const failed = [...failures].map(([step, { next, scheduled }]) => [step, { until: next, scheduled }] as const);
    const times = [...failed, ...sleeps, ...waits].flatMap(([step, { until, scheduled }]) =>
      scheduled && until !== undefined ? [[step, until] as const] : []
    );
    return limited ? [...times, [TIME_OUT, startedAt + started!.timeout!]] : times;
  }

  /** Returns the steps, including ended ones, that have a schedule which fires after this time, in ms since 1970. */
  schedulesAfter(time: number): readonly string[] {
    return [...this.#schedules].flatMap(([step, at]) => at > time ? [step] : []);
  }

  /** Returns true if the end of this child run, which the step may have started, is recorded. */
  wasTold(step: string, child: { readonly workflow: string; readonly run: string }): boolean {
    return this.#told.has(childKey(step, child));
  }

  /**
   * Gives a step the outcome of its child run, if that is recorded: a child may end before the entry which says that
   * the step has started it.
   */
  #childOutcome(step: string): void {
    const child = this.children.get(step);
    const outcome = child === undefined ? undefined : this.#told.get(childKey(step, child));
    if (outcome !== undefined) this.#outcome(step, outcome, child!.undo);
  }

  /** Sets the outcome of a step, unless it has one already. */
  #outcome(step: string, outcome: RecordedOutcome, undo = false): void {
    if (!this.outcomes.has(step)) {
      this.outcomes.set(step, { ...outcome, index: this.entries, undo });
      this.ends.push(step);
    }
    this.failures.delete(step);
    this.children.delete(step);
    this.progress.delete(step);
  }
}

function headersOf({ headers }: Started): Journal["headers"] {
  return headers && Object.freeze(Object.assign(Object.create(null), headers));
}

function idOf({ id, made }: Pick<OpenSignal, "id" | "made">): Pick<OpenSignal, "id" | "made"> {
  return { ...(id === undefined ? {} : { id }), ...(made === undefined ? {} : { made }) };
}

/** Returns the key of a name: a signal, a question and a callback may have the same one. */
export function signalKey(t: OpenSignal["t"], name: string): string {
  return t === "asked" ? `${ASKED}${name}` : t === "completed" ? `${COMPLETED}${name}` : name;
}

/** Returns a text that is equal for equal outcomes of a callback. */
export function outcomeText({ ok, value, error }: RecordedOutcome): string {
  return fingerprint(ok ? [value] : [error?.code, error?.message]);
}

/** Begins the keys of questions; no name of a signal begins with it. */
const ASKED = "?";
/** Begins the keys of callbacks. */
const COMPLETED = "!";

/** Makes the outcome of a question that the run does not answer any more. `how`: what the run did instead. */
export function notAnswered(how: string): RecordedOutcome {
  return { ok: false, error: { code: "NOT_ANSWERED", message: `the run ${how} without answering the question` } };
}

/** Time for which a run ignores the id of a signal over its lives, in ms, and that of a question without an answer. */
const KEPT = ANSWER_KEEP;
/** Minimum time between two remembered beginnings of lives, in ms. */
const LIVES_PAUSE = 1_000;
/** How far ahead the time of a schedule may be that a life hands over to the next, in ms. */
const MAX_LATE = 3_660 * 86_400_000;

function childKey(step: string, { workflow, run }: { readonly workflow: string; readonly run: string }): string {
  return `${workflow}/${run}/${step}`;
}

/**
 * Returns true for a name that stands for no step, and so cannot be skipped: the empty name of the handler, or
 * {@link TIME_OUT}.
 */
export function isOwn(step: string): boolean {
  return step === "" || (step.startsWith("@") && !isUndo(step));
}

/** Types of entries that show that the handler has got further than in its last failed attempt. */
const PROGRESS: ReadonlySet<JournalEntry["t"]> = new Set([
  ...["done", "slept", "woken", "waits", "took", "child", "answered"] as const,
]);

/** Takes the place of a step's name in entries and schedules of the run's time limit. */
export const TIME_OUT = "@timeout";

/** Returns the name under which failures of a step's `undo` are recorded; no step can have this name. */
export function undoName(step: string): string {
  return `${UNDO}${step}`;
}

export function isUndo(name: string): boolean {
  return name.startsWith(UNDO);
}

const UNDO = "@undo ";

/** Returns the steps that are to be undone, in order: the step that ended last comes first. */
export function undoOrder(
  { outcomes, undone }: Journal,
  hasUndo: (step: string, recorded: boolean) => boolean,
): readonly string[] {
  const steps = [...outcomes].flatMap(([step, { ok, undo }]) =>
    ok && !undone.has(step) && hasUndo(step, undo) ? [step] : []
  );
  return steps.reverse();
}

/**
 * Returns the number of the oldest received signal or question of one of these keys ({@link signalKey}) that no
 * recorded wait took, and that is not in `taken`; or that is in `givenBack`, because the wait that took it was given
 * up. `undefined`: there is none.
 */
export function nextSignal(
  journal: Journal,
  keys: readonly string[],
  taken: ReadonlySet<number>,
  givenBack: ReadonlySet<number>,
): number | undefined {
  let next = Infinity;
  for (const key of keys) {
    for (const n of journal.signals.get(key) ?? []) {
      if (taken.has(n)) continue;
      next = Math.min(next, n);
      break; // the numbers of one name grow
    }
  }
  for (const n of givenBack) if (n < next && keys.includes(journal.signal(n)?.key ?? "")) next = n;
  return next === Infinity ? undefined : next;
}

/**
 * Returns the status of a run, computed from its journal.
 * @decides the status of a run: running, stuck, ended
 */
export function statusOf({ ended, failures, failing, cancelled, sleeps, waits, children }: Journal): RunStatus {
  if (ended !== undefined) return ended.ok ? "done" : "failed";
  for (const { next } of failures.values()) if (next === undefined) return "stuck";
  if (failing !== undefined || cancelled !== undefined) return "undoing";
  if (failures.size > 0) return "retrying";
  return sleeps.size + waits.size + children.size > 0 ? "waiting" : "running";
}

/** Codes of errors of an attempt after which the message that its step sent may have run, without an outcome. */
const MAY_HAVE_RUN: ReadonlySet<string> = new Set(["OUTCOME_UNKNOWN", "TIMEOUT", "CANCELLED", "CLOSED"]);

// Parsing of entries. A process that may write to a run's subject decides what the run does (docs/security.md), but a
// malformed entry neither ends a node, nor makes a node spin, nor hides the run from operators. An invalid entry is
// skipped as a whole.
