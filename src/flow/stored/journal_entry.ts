/**
 * The entries of a run: each type of entry with its members, and the check of an entry that was read. Any process that
 * may write to the stream may have written the entry.
 */
import { isCount, isRecord, isStringArray, isStrings, isToken } from "../../data/checks.ts";

/** An error, as it is recorded in an entry. */
export interface RecordedError {
  readonly code: string;
  readonly message: string;
  readonly retryable?: boolean;
  readonly details?: unknown;
  /** Text of the thrown error, for a failed attempt. */
  readonly cause?: string;
}

/** Outcome of a step: a value, or a failure that its function or handler returned. */
export interface RecordedOutcome {
  readonly ok: boolean;
  readonly value?: unknown;
  readonly error?: RecordedError;
}

/** The run that started this run, and waits for its end in a step. */
export interface Parent {
  readonly workflow: string;
  readonly run: string;
  readonly step: string;
  /** Number of runs that wait in a chain for the end of this run. */
  readonly depth?: number;
}

/**
 * Entries after which some node has to execute the run, and which any process may append. `by`: the node that executes
 * the run, as far as the appending process knows.
 */
export type CalledEntry =
  & { readonly by: string }
  & (
    | Started
    | {
      readonly t: "signalled";
      readonly signal: string;
      readonly id?: string;
      /** True if no program has given the id: only the process that sent the signal may store it again, and soon. */
      readonly made?: boolean;
      readonly value?: unknown;
    }
    /** A question to the run, which waits as a signal does. A second one of its name and id is passed over. */
    | { readonly t: "asked"; readonly question: string; readonly id: string; readonly value?: unknown }
    /**
     * A callback of the run is completed. `life`: number of the life that has made the callback. Ignored unless it is
     * the run's life now, and after another completion of the callback.
     */
    | { readonly t: "completed"; readonly step: string; readonly life: number; readonly outcome: RecordedOutcome }
    | { readonly t: "cancelled"; readonly code: "CANCELLED" | "TIMEOUT"; readonly reason: string }
    /** The end of a child: a run that a step of this run has started. Ignored unless a step did start that run. */
    | {
      readonly t: "told";
      readonly step: string;
      readonly workflow: string;
      readonly run: string;
      readonly outcome: RecordedOutcome;
    }
    | { readonly t: "retried" }
    | { readonly t: "skipped"; readonly step: string; readonly value?: unknown; readonly reason: string }
    | Tried
    | Again
  );

/**
 * A node says how its attempt of a step, or `undo`, has ended: another node had taken the run over meanwhile, so that
 * it could not store `done`, `undone` or `failed`. Ignored in another life than `life`, and if the step has its
 * outcome.
 */
export interface Tried {
  readonly t: "tried";
  readonly step: string;
  /** Number of the life of the run in which the attempt has begun. */
  readonly life: number;
  readonly outcome: RecordedOutcome;
  /** Absent: the outcome is that of the step. Otherwise the attempt has failed, and this says what follows it. */
  readonly next?: NextAttempt;
  /** As of the entries `done` and `failed`. */
  readonly undo?: boolean;
}

/**
 * The attempt that follows a failed one of which an entry `tried` says: `always`: another attempt; `limited`: another
 * one, if the step has one left; `returned`: the same, and else the failure is the step's outcome; `never`: the run is
 * stuck.
 */
export type NextAttempt = "always" | "limited" | "returned" | "never";

const NEXT: ReadonlySet<unknown> = new Set<NextAttempt>(["always", "limited", "returned", "never"]);

/**
 * One life of the run ends, and the next begins: what follows is the sum of this entry alone, so that a reader which
 * has read older messages and one which has not come to the same state. Stored by the node that executes the run, as
 * the last entry of its message.
 */
export interface Again {
  readonly t: "again";
  /** Number of the life that begins: 2 or more. */
  readonly life: number;
  /** Number of entries before this one, over all lives. */
  readonly at: number;
  /** The start of the life: as the run was started, with the input of the life. */
  readonly started: Started;
  /** Time of the run's first start, in ms since 1970. */
  readonly startedAt: number;
  /** Number that the next signal or question gets: numbers go on over all lives. */
  readonly next: number;
  /** Signals and questions that the handler has not seen. */
  readonly open: readonly OpenSignal[];
  /** Answers that are still kept. */
  readonly answers: readonly KeptAnswer[];
  /** Ids of signals, given by programs, that the run ignores when they are sent again, with the time of the first. */
  readonly ids: readonly TimedName[];
  /** Names of the entries `carried` of this life that have more of these three; absent if there are none. */
  readonly parts?: readonly string[];
  /** Schedules of earlier lives that fire late, by step. */
  readonly schedules: readonly TimedName[];
  /** True if a schedule is stored for the time limit of the run. */
  readonly limited?: boolean;
  /** The view that the run shows. */
  readonly view?: NumberedView;
  /** As of the entry `secret`. */
  readonly secret?: string;
  /** By {@link callbackKey}: callbacks that were completed not long ago; absent: none. */
  readonly completed?: readonly CompletedCallback[];
}

/** A completed callback: its key, the fingerprint of the outcome, and the time, in ms since 1970. */
export type CompletedCallback = readonly [key: string, outcome: string, at: number];

/** Returns the key of a callback among those of a run. */
export function callbackKey(life: number, step: string): string {
  return `${life} ${step}`;
}

/** A step, or the key of an id, with a time in ms since 1970. */
export type TimedName = readonly [name: string, at: number];

/** A signal or question that a life hands over to the next; or the outcome of a callback, which ends with its life. */
export interface OpenSignal {
  readonly n: number;
  readonly t: "signalled" | "asked" | "completed";
  readonly name: string;
  readonly id?: string;
  /** As of the entry `signalled`. */
  readonly made?: boolean;
  readonly value?: unknown;
  /** When it was stored, in ms since 1970. */
  readonly at: number;
}

/** An answer that a life hands over to the next; `key`: as of {@link answerKey}. */
export interface KeptAnswer {
  readonly key: string;
  readonly outcome: RecordedOutcome;
  /** Time until which the answer is kept, in ms since 1970. */
  readonly until: number;
}

/** Returns the key of a question's answer among the answers of a run. */
export function answerKey(question: string, id: string): string {
  return `${question} ${id}`; // unambiguous: a question's name has no space
}

/** Returns the question and the id of a key that {@link answerKey} has made. */
export function askedBy(key: string): { readonly question: string; readonly id: string } {
  const at = key.indexOf(" ");
  return { question: key.slice(0, at), id: key.slice(at + 1) };
}

/** The first entry of a run. */
export interface Started {
  readonly t: "started";
  readonly version: number;
  readonly input?: unknown;
  readonly keep: number;
  readonly timeout?: number;
  readonly parent?: Parent;
  /**
   * The shape of the workflow in the process that started the run, in the form of {@link Journal.shape}; absent if
   * empty.
   */
  readonly shape?: string;
  /** Headers of the messages that the run's steps send; absent if there are none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Paths of members of the run's recorded values that tools hide; absent if there are none. */
  readonly redact?: readonly string[];
  /** Texts by which operators find the run; absent if there are none. */
  readonly tags?: readonly string[];
  /** In a later life of the run: fingerprint of the input of the first. */
  readonly origin?: string;
}

/** Entries that the node which executes the run appends. Times are in ms since 1970. */
export type DrivenEntry =
  /**
   * From here on, the node that appends this entry executes the run. `shape`: shape of the workflow on this node, if it
   * differs from {@link Journal.shape}.
   */
  | { readonly t: "held"; readonly shape?: string }
  /** A step has ended with its outcome. `undo`: the step has to be undone if the run fails. */
  | { readonly t: "done"; readonly step: string; readonly outcome: RecordedOutcome; readonly undo?: boolean }
  /**
   * An attempt of a step, `undo` or handler failed. `next`: time of the next attempt; absent: the run is stuck. `undo`:
   * the step has an `undo`, or starts another run.
   */
  | {
    readonly t: "failed";
    readonly step: string;
    readonly error: RecordedError;
    readonly next?: number;
    readonly undo?: boolean;
    /** True if an entry `tried` has counted the attempt: this one says only that the run is stuck. */
    readonly tried?: boolean;
    /** For an attempt of the handler: steps with an `undo` that may have begun, as in {@link Journal.begun}. */
    readonly begun?: readonly string[];
  } & TimedEntry
  | { readonly t: "slept"; readonly step: string; readonly until: number } & TimedEntry
  | { readonly t: "woken"; readonly step: string }
  /** `callback`: true if the wait is for the completion of the callback of this name. */
  | {
    readonly t: "waits";
    readonly step: string;
    readonly signal: string;
    readonly until?: number;
    readonly callback?: boolean;
  } & TimedEntry
  /** A wait for a signal ended. `n`: number of the signal that it took; absent: it timed out. */
  | { readonly t: "took"; readonly step: string; readonly n?: number }
  | {
    readonly t: "child";
    readonly step: string;
    readonly workflow: string;
    readonly run: string;
    readonly undo?: boolean;
  }
  /** Outcomes, and started runs, of steps of a list that are stored together: they count as one entry of the run. */
  | { readonly t: "listed"; readonly entries: readonly ListedEntry[] }
  | ShownEntry
  /** A step has reported how far it is, for its next attempt. */
  | { readonly t: "progress"; readonly step: string; readonly value?: unknown }
  /** The secret from which the tokens of the run's callbacks are made; the first one of a run counts. */
  | { readonly t: "secret"; readonly secret: string }
  /** A schedule was stored for the time limit of the run. */
  | { readonly t: "limited" }
  /** The handler has answered a question. `until`: time until which the answer is kept, in ms since 1970. */
  | {
    readonly t: "answered";
    readonly question: string;
    readonly id: string;
    readonly outcome: RecordedOutcome;
    readonly until: number;
  }
  /** A part of what an entry `again` that follows hands over, because it does not fit into that entry's message. */
  | { readonly t: "carried"; readonly part: string } & Pick<Again, "open" | "answers" | "ids">
  /** From here on the steps of the run are undone; the run will end with this error. */
  | { readonly t: "failing"; readonly error: RecordedError }
  | { readonly t: "undone"; readonly step: string }
  /**
   * The run has ended. `schedules`: steps that may have a schedule which no entry records, and which fires so late
   * after the end of the run that it has to be removed.
   */
  | {
    readonly t: "ended";
    readonly outcome: RecordedOutcome;
    readonly until: number;
    readonly schedules?: readonly string[];
  };

/** An entry about a step of a list (`flow.map`), of which one entry `listed` has several. */
export type ListedEntry = DrivenEntry & { readonly t: "done" | "child" };

/**
 * The handler shows a new view of the run: a text (`flow.stage`), or any value (`flow.show`). `after`: number of ends
 * of steps, sleeps and waits that the handler had seen; absent: an older version of Catga wrote the entry.
 */
export type ShownEntry =
  & { readonly after?: number }
  & ({ readonly t: "staged"; readonly stage: string } | { readonly t: "shown"; readonly view?: unknown });

/** A view of a run, and the number of the entry that has shown it: a later view has a greater one. */
export interface NumberedView {
  readonly value?: unknown;
  readonly number: number;
}

/** Returns the view that an entry shows; `undefined`: none. `number`: the number of the entry. */
export function viewIn(entry: JournalEntry, number: number): NumberedView | undefined {
  if (entry.t === "again") return entry.view;
  return entry.t === "staged"
    ? { value: entry.stage, number }
    : entry.t === "shown"
    ? { value: entry.view, number }
    : undefined;
}

/** Members of entries that begin a wait for a time. */
export interface TimedEntry {
  /** True if a stored schedule ends the wait; false: a timer of the node that executes the run ends it. */
  readonly scheduled?: boolean;
}

/** An entry of a run's journal. */
export type JournalEntry = CalledEntry | DrivenEntry;

/** A stored message of a run: entries that were stored together. */
export interface RunLogMessage {
  readonly sequence: number;
  /** When the message was stored, in ms since 1970. */
  readonly time: number;
  /**
   * Endpoint of the node that executes the run from here on; empty: no node has executed the run yet; `undefined`:
   * unchanged, because the message cannot be read.
   */
  readonly holder: string | undefined;
  readonly entries: readonly JournalEntry[];
  /** Name of the message, by which the process that wrote it recognizes it; empty if the message cannot be read. */
  readonly mark: string;
}

/** Parses a payload as a journal entry. Returns `undefined` if it is not one, or if a member is invalid. */
export function entryOf(payload: unknown): JournalEntry | undefined {
  if (!isRecord(payload) || typeof payload.t !== "string") return undefined;
  // an entry of a later version of Catga has an unknown type; the journal ignores it
  const checks = CHECKS.get(payload.t) ?? [];
  for (const [member, isValid] of checks) if (!isValid(payload[member])) return undefined;
  // the type is certain: each member has been checked
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
const isNext: Check = (next) => NEXT.has(next);
const isFlag: Check = (value) => typeof value === "boolean";
const scheduled = maybe(isFlag);
const step = isText;
const isStarted: Check = (started) => isRecord(started) && entryOf({ ...started, by: "" })?.t === "started";
const isOpenSignal: Check = (open) =>
  isRecord(open) && isCount(open.n) && (open.t === "signalled" || open.t === "asked") && isText(open.name) &&
  maybe(isText)(open.id) && maybe(isFlag)(open.made) && isTime(open.at);
const isKeptAnswer: Check = (answer) =>
  isRecord(answer) && isText(answer.key) && isOutcome(answer.outcome) && isTime(answer.until);
const isListOf = (check: Check): Check => (list) => Array.isArray(list) && list.every(check);
const isListed: Check = (entry) => {
  const { t } = entryOf(entry) ?? {};
  return t === "done" || t === "child";
};
const isCompleted: Check = (one) => Array.isArray(one) && isText(one[0]) && isText(one[1]) && isTime(one[2]);
const isTimedName: Check = (pair) => Array.isArray(pair) && isText(pair[0]) && isTime(pair[1]);

const MEMBERS: { readonly [T in JournalEntry["t"]]: Readonly<Record<string, Check>> } = {
  started: {
    by: isText,
    version: isCount,
    keep: isTime,
    timeout: maybe(isTime),
    parent: maybe(isParent),
    shape: maybe(isText),
    headers: maybe(isStrings),
    tags: maybe(isStringArray),
    origin: maybe(isText),
  },
  signalled: { by: isText, signal: isText, id: maybe(isText), made: maybe(isFlag) },
  asked: { by: isText, question: isText, id: isText },
  completed: { by: isText, step, life: isCount, outcome: isOutcome },
  again: {
    by: isText,
    life: isCount,
    at: isCount,
    started: isStarted,
    startedAt: isTime,
    next: isCount,
    open: isListOf(isOpenSignal),
    answers: isListOf(isKeptAnswer),
    ids: isListOf(isTimedName),
    parts: maybe(isStringArray),
    schedules: isListOf(isTimedName),
    limited: maybe(isFlag),
    view: maybe((view) => isRecord(view) && isCount(view.number)),
    secret: maybe(isText),
    completed: maybe(isListOf(isCompleted)),
  },
  cancelled: { by: isText, code: isText, reason: isText },
  told: { by: isText, step, workflow: isText, run: isText, outcome: isOutcome },
  retried: { by: isText },
  skipped: { by: isText, step, reason: isText },
  tried: { by: isText, step, life: isCount, outcome: isOutcome, next: maybe(isNext), undo: maybe(isFlag) },
  held: { shape: maybe(isText) },
  done: { step, outcome: isOutcome, undo: maybe(isFlag) },
  failed: {
    ...{ step, error: isError, next: maybe(isTime), undo: maybe(isFlag), begun: maybe(isStringArray) },
    ...{ tried: maybe(isFlag), scheduled },
  },
  slept: { step, until: isTime, scheduled },
  woken: { step },
  waits: { step, signal: isText, until: maybe(isTime), scheduled, callback: maybe(isFlag) },
  took: { step, n: maybe(isCount) },
  child: { step, workflow: isText, run: isText, undo: maybe(isFlag) },
  listed: { entries: isListOf(isListed) },
  staged: { stage: isText, after: maybe(isCount) },
  shown: { after: maybe(isCount) },
  progress: { step },
  secret: { secret: isText },
  limited: {},
  answered: { question: isText, id: isText, outcome: isOutcome, until: isTime },
  carried: {
    part: isText,
    open: isListOf(isOpenSignal),
    answers: isListOf(isKeptAnswer),
    ids: isListOf(isTimedName),
  },
  failing: { error: isError },
  undone: { step },
  ended: { outcome: isOutcome, until: isTime, schedules: maybe(isStringArray) },
};

/** The checks of each type of entry, as a list: an entry is read for each message of a run. */
const CHECKS = new Map(Object.entries(MEMBERS).map(([type, members]) => [type, Object.entries(members)]));

/** Returns the entries that an entry stands for: those of a list, or itself. */
export function eachOf(entry: JournalEntry): readonly JournalEntry[] {
  return entry.t === "listed" ? entry.entries : [entry];
}

/** The names of all types of entries. The docs explain each. */
export const ENTRY_TYPES: readonly string[] = [...CHECKS.keys()];
