/**
 * What is recorded of a run, and what it makes of the run: pure, no time, no input or output. A run is the list of its
 * entries; `Journal` is what they say together (`steps.ts` records them, `run_log.ts` stores them, `drive.ts` has the
 * handler see them), as maps that grow with each entry, so that a long run is resumed in linear time.
 */
import type { RunStatus } from "../contract/flow.ts";
import { isCount, isRecord, isStringArray, isStrings, isToken } from "../data/checks.ts";

/** An error as it is recorded. */
export interface RecordedError {
  readonly code: string;
  readonly message: string;
  readonly retryable?: boolean;
  readonly details?: unknown;
  /** Text of what was thrown, of a failed attempt. */
  readonly cause?: string;
}

/** What a step gave: a value, or a failure that its function or handler decided on. */
export interface RecordedOutcome {
  readonly ok: boolean;
  readonly value?: unknown;
  readonly error?: RecordedError;
}

/** The run that started this one, and waits for it in a step. */
export interface Parent {
  readonly workflow: string;
  readonly run: string;
  readonly step: string;
  /** How many runs wait for the end of this one, one for the other; 1. */
  readonly depth?: number;
}

/**
 * Entries of those who call for the run to go on: anybody appends them. `by`: who drives the run, as far as they know.
 */
export type CalledEntry =
  & { readonly by: string }
  & (
    | Started
    | { readonly t: "signalled"; readonly signal: string; readonly id?: string; readonly value?: unknown }
    | { readonly t: "cancelled"; readonly code: "CANCELLED" | "TIMEOUT"; readonly reason: string }
    /** How the run that a step had started has ended: counts if the step did start that one. */
    | {
      readonly t: "told";
      readonly step: string;
      readonly workflow: string;
      readonly run: string;
      readonly outcome: RecordedOutcome;
    }
    | { readonly t: "retried" }
    | { readonly t: "skipped"; readonly step: string; readonly value?: unknown; readonly reason: string }
  );

/** The first entry of a run. */
export interface Started {
  readonly t: "started";
  readonly version: number;
  readonly input?: unknown;
  readonly keep: number;
  readonly timeout?: number;
  readonly parent?: Parent;
  /** The shape of the workflow at the process that started it, as {@link Journal.shape}; left out if it is empty. */
  readonly shape?: string;
  /** Headers of the messages that its steps send; left out if there are none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Paths of members that tools hide; left out if there are none. */
  readonly redact?: readonly string[];
}

/** Entries of the node that drives the run. Times are in ms since 1970. */
export type DrivenEntry =
  /** Another node drives it from here on; `shape`: of the workflow there, if it differs from {@link Journal.shape}. */
  | { readonly t: "held"; readonly shape?: string }
  /** `undo`: it has to be taken back if the run fails. */
  | { readonly t: "done"; readonly step: string; readonly outcome: RecordedOutcome; readonly undo?: boolean }
  /** An attempt failed; `next`: when the next one follows; without it the run is stuck. */
  | {
    readonly t: "failed";
    readonly step: string;
    readonly error: RecordedError;
    readonly next?: number;
    /** A start of the handler: see {@link Journal.begun}. */
    readonly begun?: readonly string[];
  } & TimedEntry
  | { readonly t: "slept"; readonly step: string; readonly until: number } & TimedEntry
  | { readonly t: "woken"; readonly step: string }
  | { readonly t: "waits"; readonly step: string; readonly signal: string; readonly until?: number } & TimedEntry
  /** A wait took the signal of this number; without it its time was over. */
  | { readonly t: "took"; readonly step: string; readonly n?: number }
  | {
    readonly t: "child";
    readonly step: string;
    readonly workflow: string;
    readonly run: string;
    readonly undo?: boolean;
  }
  /** The handler says where the run is, for people. */
  | { readonly t: "staged"; readonly stage: string }
  /** A schedule ends the time that it may take. */
  | { readonly t: "limited" }
  /** From here on steps are undone; the run ends with this error. */
  | { readonly t: "failing"; readonly error: RecordedError }
  | { readonly t: "undone"; readonly step: string }
  | { readonly t: "ended"; readonly outcome: RecordedOutcome; readonly until: number };

/** Something that ends at a time. */
export interface TimedEntry {
  /** By a schedule; else by a timer of the node that drives the run. */
  readonly scheduled?: boolean;
}

/** What is recorded of a run. */
export type JournalEntry = CalledEntry | DrivenEntry;

/** A message of the stream: entries that were stored together. */
export interface RunLogMessage {
  readonly sequence: number;
  /** When it was stored, in ms since 1970. */
  readonly time: number;
  /**
   * The endpoint of the node that drives the run from here on; empty: none has; `undefined`: as before, for it cannot
   * be read.
   */
  readonly holder: string | undefined;
  readonly entries: readonly JournalEntry[];
  /** Name of the message; empty if it cannot be read. */
  readonly mark: string;
}

/** Failed attempts of a step. */
export interface Failures {
  /** Since an operator had it tried again. */
  readonly attempts: number;
  readonly total: number;
  /** When the first of them was recorded, and the last one. */
  readonly first: number;
  readonly last: number;
  readonly error: RecordedError;
  /** When the next attempt follows, in ms since 1970; `undefined`: an operator has to decide. */
  readonly next: number | undefined;
  readonly scheduled: boolean;
}

/** A wait or a sleep that is recorded. */
export interface Timed {
  readonly since: number;
  readonly until: number | undefined;
  readonly scheduled: boolean;
}

/** What the entries of a run say together. */
export class Journal {
  /** The sequence of its last message; 0: none. */
  sequence = 0;
  /** Its mark. */
  mark = "";
  /** {@link RunLog.epoch} in which the store is known to have it. */
  sure = -1;
  /** How many entries there are. */
  entries = 0;
  holder = "";
  /** The sequence of the message by which its holder has it; 0: the first one. */
  heldAt = 0;
  /**
   * The shape of the workflow where it was driven last, or else where it was started: empty if its versions have none,
   * {@link UNKNOWN_SHAPE} if its validator has no JSON Schema.
   */
  shape = "";
  started: Started | undefined;
  /** Its headers, without a prototype; `undefined`: there are none. */
  headers: Readonly<Record<string, string>> | undefined;
  startedAt = 0;
  changedAt = 0;
  /** Outcomes of steps; `index`: the number of its entry; `undo`: its step had one when it was recorded. */
  readonly outcomes = new Map<string, RecordedOutcome & { readonly index: number; readonly undo: boolean }>();
  /** Steps that have one from an operator, and of which nothing else is recorded. */
  readonly strays = new Set<string>();
  /** The names of steps, sleeps and waits that have ended, in order. */
  readonly ends: string[] = [];
  /** Of steps that failed, and the handler itself (the empty name), while they have no outcome. */
  readonly failures = new Map<string, Failures>();
  /**
   * Steps with an `undo` that may have begun, and had no outcome when the handler threw; `undefined`: others may have
   * begun, too, for a process may have gone on since, or did not know what those before it had begun.
   */
  begun: ReadonlySet<string> | undefined;
  readonly sleeps = new Map<string, Timed>();
  /** The number of the entry that says so. */
  readonly woken = new Map<string, number>();
  readonly waits = new Map<string, Timed & { readonly signal: string }>();
  /** The number of the signal that a wait took (none: its time was over), and of the entry that says so. */
  readonly took = new Map<string, { readonly n: number | undefined; readonly index: number }>();
  /** The numbers of those that no wait has taken, by name, in order. */
  readonly signals = new Map<string, Set<number>>();
  readonly children = new Map<
    string,
    { readonly workflow: string; readonly run: string; readonly since: number; readonly undo: boolean }
  >();
  readonly undone = new Set<string>();
  /** How often the handler said where the run is, and what it said last. */
  stages = 0;
  stage: string | undefined;
  cancelled: { readonly index: number; readonly error: RecordedError } | undefined;
  failing: { readonly index: number; readonly error: RecordedError } | undefined;
  limited = false;
  /** The number of the last entry by which an operator has it tried again. */
  retriedAt = -1;
  ended: RecordedOutcome | undefined;
  endedAt = 0;
  /** How often another node took it over since something was last recorded. */
  takeovers = 0;
  readonly #signals: { readonly signal: string; readonly value: unknown }[] = [];
  readonly #ids = new Set<string>();
  /** Steps of which a cancel has ended a pause. */
  readonly #hastened = new Set<string>();
  /** When schedules fire that were stored for steps, in ms since 1970. */
  readonly #schedules = new Map<string, number>();
  /** Ends of runs, by the step that is told and the run. */
  readonly #told = new Map<string, RecordedOutcome>();

  /** Applies a message. Messages come in order, each once. */
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

  /** The value of a signal that a wait took. */
  signal(n: number): unknown {
    return this.#signals[n]?.value;
  }

  /** The step whose `undo` has this name; `undefined`: none, or the run does not undo its steps. */
  undoes(name: string): string | undefined {
    const step = name.slice(UNDO.length);
    return this.failing !== undefined && name.startsWith(UNDO) && this.outcomes.has(step) ? step : undefined;
  }

  /** Whether a step has its outcome, or an `undo` is over. */
  isSettled(name: string): boolean {
    const undone = this.undoes(name);
    return undone === undefined ? this.outcomes.has(name) : this.undone.has(undone);
  }

  #entry(entry: JournalEntry, time: number): void {
    this.takeovers = entry.t === "held" ? this.takeovers + 1 : 0;
    // the handler has come further than where it threw
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
        this.headers ??= entry.headers && Object.freeze(Object.assign(Object.create(null), entry.headers));
        this.startedAt ||= time;
        return;
      case "done":
        return this.#outcome(entry.step, entry.outcome, entry.undo);
      case "told":
        this.#told.set(childKey(entry.step, entry), entry.outcome);
        return this.#childOutcome(entry.step);
      case "skipped": {
        if (isOwn(entry.step)) return;
        const undone = this.undoes(entry.step);
        if (undone === undefined) {
          if (!this.failures.has(entry.step) && !this.children.has(entry.step)) this.strays.add(entry.step);
          return this.#outcome(entry.step, { ok: true, value: entry.value });
        }
        this.undone.add(undone);
        return void this.failures.delete(entry.step);
      }
      case "failed": {
        if (entry.scheduled) this.#schedules.set(entry.step, entry.next ?? 0);
        if (entry.step === "") this.begun = entry.begun && new Set(entry.begun);
        // an operator skipped it while the attempt ran
        if (this.isSettled(entry.step)) return;
        const before = this.failures.get(entry.step);
        this.failures.set(entry.step, {
          attempts: (before?.attempts ?? 0) + 1,
          total: (before?.total ?? 0) + 1,
          first: before === undefined || before.attempts === 0 ? time : before.first,
          ...{ last: time, error: entry.error, next: entry.next, scheduled: entry.scheduled ?? false },
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
        else this.waits.set(entry.step, { ...timed, signal: entry.signal });
        return;
      }
      case "woken":
        if (!this.woken.has(entry.step)) this.ends.push(entry.step);
        this.woken.set(entry.step, this.entries);
        this.sleeps.delete(entry.step);
        return;
      case "took":
        if (!this.took.has(entry.step)) this.ends.push(entry.step);
        this.took.set(entry.step, { n: entry.n, index: this.entries });
        this.waits.delete(entry.step);
        if (entry.n !== undefined) this.signals.get(this.#signals[entry.n]?.signal ?? "")?.delete(entry.n);
        return;
      case "signalled": {
        const { signal, id, value } = entry;
        const key = `${signal} ${id}`;
        if (id !== undefined && this.#ids.has(key)) return;
        if (id !== undefined) this.#ids.add(key);
        const n = this.#signals.push({ signal, value }) - 1;
        const of = this.signals.get(signal);
        if (of === undefined) this.signals.set(signal, new Set([n]));
        else of.add(n);
        return;
      }
      case "child":
        this.children.set(entry.step, {
          ...{ workflow: entry.workflow, run: entry.run },
          ...{ since: time, undo: entry.undo ?? false },
        });
        return this.#childOutcome(entry.step);
      case "cancelled":
        this.cancelled ??= { index: this.entries, error: { code: entry.code, message: entry.reason } };
        // a failure that nobody decided on is no reason to wait
        this.failures.delete("");
        for (const step of this.failures.keys()) this.#hasten(step);
        return;
      case "retried":
        this.retriedAt = this.entries;
        for (const [step, failures] of this.failures) {
          this.failures.set(step, { ...failures, attempts: 0, first: time, next: 0 });
        }
        return;
      case "staged":
        this.stages++;
        this.stage = entry.stage;
        return;
      case "limited":
        this.limited = true;
        this.#schedules.set(TIME_OUT, this.startedAt + (this.started?.timeout ?? 0));
        this.failures.delete(TIME_OUT);
        return;
      case "failing":
        if (this.failing === undefined) this.failures.clear(); // its undos come, and have failures of their own
        this.failing ??= { index: this.entries, error: entry.error };
        return;
      case "undone":
        this.undone.add(entry.step);
        this.failures.delete(undoName(entry.step));
        return;
      case "ended":
        this.ended ??= entry.outcome;
        this.endedAt ||= time;
        return;
    }
  }

  /**
   * A cancel ends one pause of each step: the one that it finds, or that of the attempt that it finds; for the handler
   * also when it is stuck: a cancelled one needs to come no further.
   */
  #hasten(step: string): void {
    const failures = this.failures.get(step);
    if (this.cancelled === undefined || this.failing !== undefined || this.#hastened.has(step)) return;
    if (failures === undefined || (failures.next === undefined && step !== "")) return;
    this.#hastened.add(step);
    this.failures.set(step, { ...failures, next: 0 });
  }

  /** The times that schedules end, in ms since 1970, by the step. */
  get scheduled(): readonly (readonly [step: string, at: number])[] {
    const { failures, sleeps, waits, limited, started, startedAt } = this;
    const failed = [...failures].map(([step, { next, scheduled }]) => [step, { until: next, scheduled }] as const);
    const times = [...failed, ...sleeps, ...waits].flatMap(([step, { until, scheduled }]) =>
      scheduled && until !== undefined ? [[step, until] as const] : []
    );
    return limited ? [...times, [TIME_OUT, startedAt + started!.timeout!]] : times;
  }

  /** The steps, ended ones included, whose schedules fire after this time, in ms since 1970. */
  schedulesAfter(time: number): readonly string[] {
    return [...this.#schedules].flatMap(([step, at]) => at > time ? [step] : []);
  }

  /** Whether the end of a run is known that a step may have started. */
  wasTold(step: string, child: { readonly workflow: string; readonly run: string }): boolean {
    return this.#told.has(childKey(step, child));
  }

  /** A child may end before it is recorded that the step has started it. */
  #childOutcome(step: string): void {
    const child = this.children.get(step);
    const outcome = child === undefined ? undefined : this.#told.get(childKey(step, child));
    if (outcome !== undefined) this.#outcome(step, outcome, child!.undo);
  }

  /** The first outcome of a step counts. */
  #outcome(step: string, outcome: RecordedOutcome, undo = false): void {
    if (!this.outcomes.has(step)) {
      this.outcomes.set(step, { ...outcome, index: this.entries, undo });
      this.ends.push(step);
    }
    this.failures.delete(step);
    this.children.delete(step);
  }
}

function childKey(step: string, { workflow, run }: { readonly workflow: string; readonly run: string }): string {
  return `${workflow}/${run}/${step}`;
}

/** Returns true for what stands in place of a step and cannot be skipped: the handler itself, or {@link TIME_OUT}. */
export function isOwn(step: string): boolean {
  return step === "" || (step.startsWith("@") && !isUndo(step));
}

/** Entries of a handler that goes on. */
const PROGRESS: ReadonlySet<JournalEntry["t"]> = new Set(["done", "slept", "woken", "waits", "took", "child"]);

/** In place of the shape of a workflow whose validator has no JSON Schema. */
export const UNKNOWN_SHAPE = "?";

/** In place of a step: the time that the run may take. */
export const TIME_OUT = "@timeout";

/** The name by which the failures of a step's `undo` are recorded: that of no step. */
export function undoName(step: string): string {
  return `${UNDO}${step}`;
}

export function isUndo(name: string): boolean {
  return name.startsWith(UNDO);
}

const UNDO = "@undo ";

/** The steps that are to be undone, in that order: those that finished last come first. */
export function undoOrder(
  { outcomes, undone }: Journal,
  hasUndo: (step: string, recorded: boolean) => boolean,
): readonly string[] {
  const steps = [...outcomes].flatMap(([step, { ok, undo }]) =>
    ok && !undone.has(step) && hasUndo(step, undo) ? [step] : []
  );
  return steps.reverse();
}

/** The number of the first signal of a name that neither a recorded wait took, nor `taken` has; `undefined`: none. */
export function nextSignal({ signals }: Journal, name: string, taken: ReadonlySet<number>): number | undefined {
  for (const n of signals.get(name) ?? []) if (!taken.has(n)) return n;
  return undefined;
}

/** How a run stands. */
export function statusOf({ ended, failures, failing, cancelled, sleeps, waits, children }: Journal): RunStatus {
  if (ended !== undefined) return ended.ok ? "done" : "failed";
  for (const { next } of failures.values()) if (next === undefined) return "stuck";
  if (failing !== undefined || cancelled !== undefined) return "undoing";
  if (failures.size > 0) return "retrying";
  return sleeps.size + waits.size + children.size > 0 ? "waiting" : "running";
}

// Entries as they are read: whoever may write to a run's subject decides what the run does (docs/security.md), but what
// is malformed neither ends a node, nor has one spin, nor hides the run from operators. What is no entry is passed over
// as a whole.

/** The entry that a payload is; `undefined`: it is none, or a member of it is invalid. */
export function entryOf(payload: unknown): JournalEntry | undefined {
  if (!isRecord(payload) || typeof payload.t !== "string") return undefined;
  // those of a later version are left to the journal, which ignores them
  const members = Object.hasOwn(MEMBERS, payload.t) ? MEMBERS[payload.t as JournalEntry["t"]] : {};
  for (const [member, isValid] of Object.entries(members)) if (!isValid(payload[member])) return undefined;
  // each member is checked
  return payload as unknown as JournalEntry;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isTime: Check = Number.isFinite;
const maybe = (check: Check): Check => (value) => value === undefined || check(value);
const isError: Check = (error) =>
  isRecord(error) && isText(error.code) && isText(error.message) && maybe(isText)(error.cause);
const isOutcome: Check = (outcome) =>
  isRecord(outcome) && (outcome.ok === true || (outcome.ok === false && isError(outcome.error)));
const isParent: Check = (parent) =>
  isRecord(parent) && isToken(parent.workflow) && isText(parent.run) &&
  isText(parent.step) && maybe(isCount)(parent.depth);
const isFlag: Check = (value) => typeof value === "boolean";
const scheduled = maybe(isFlag);
const step = isText;

const MEMBERS: { readonly [T in JournalEntry["t"]]: Readonly<Record<string, Check>> } = {
  started: {
    by: isText,
    version: isCount,
    keep: isTime,
    timeout: maybe(isTime),
    parent: maybe(isParent),
    shape: maybe(isText),
    headers: maybe(isStrings),
  },
  signalled: { by: isText, signal: isText, id: maybe(isText) },
  cancelled: { by: isText, code: isText, reason: isText },
  told: { by: isText, step, workflow: isText, run: isText, outcome: isOutcome },
  retried: { by: isText },
  skipped: { by: isText, step, reason: isText },
  held: { shape: maybe(isText) },
  done: { step, outcome: isOutcome, undo: maybe(isFlag) },
  failed: { step, error: isError, next: maybe(isTime), begun: maybe(isStringArray), scheduled },
  slept: { step, until: isTime, scheduled },
  woken: { step },
  waits: { step, signal: isText, until: maybe(isTime), scheduled },
  took: { step, n: maybe(isCount) },
  child: { step, workflow: isText, run: isText, undo: maybe(isFlag) },
  staged: { stage: isText },
  limited: {},
  failing: { error: isError },
  undone: { step },
  ended: { outcome: isOutcome, until: isTime },
};

/** The types of entries, which the docs explain. */
export const ENTRY_TYPES: readonly string[] = Object.keys(MEMBERS);
