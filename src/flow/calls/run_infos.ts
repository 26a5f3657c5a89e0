/** Runs as operators see them, and what operators can do with them. */
import {
  type PendingStep,
  RUN_STATUS,
  type RunEntry,
  type RunInfo,
  type RunsOptions,
  stageIn,
} from "../../contract/calls/flow.ts";
import { OF_ENTITIES } from "../../contract/nodes/announcement.ts";
import { drivenWorkflow, runType } from "../../contract/declaration/workflow.ts";
import { checkBoolean, checkKnown, checkObject, checkString, isRecord, show } from "../../data/checks.ts";
import type { AwaitingMessages } from "../../dispatch/remote.ts";
import { decodeText, encodeValue } from "../../data/encoding.ts";
import { whyNoPaths } from "../../contract/declaration/redaction.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { messageId } from "../../log/format/commit.ts";
import { positionOf } from "../../log/format/group_text.ts";
import { isOwn, isUndo, type Journal, statusOf } from "../stored/journal.ts";
import { callbackKey, eachOf, type JournalEntry } from "../stored/journal_entry.ts";
import type { EntryFor } from "../stored/notice_queue.ts";
import type { RunLog } from "../stored/run_log.ts";
import { isCalled, undecodedAt } from "../stored/run_message.ts";
import type { RunRef } from "../stored/run_ref.ts";
import type { NotedRun } from "../stored/stuck_notes.ts";

/** Appends an entry to a run. Rejects with `NO_RUN` or `UNAVAILABLE`, and with an error with which `entry` rejects. */
export type TellRun = (ref: RunRef, entry: EntryFor) => Promise<void>;

/**
 * Appends an entry to a run, for tools that are no node. Rejects with `NO_RUN` or `UNAVAILABLE`, and with an error with
 * which `entry` rejects.
 */
export async function tellRun(log: RunLog, ref: RunRef, entry: EntryFor): Promise<void> {
  const due = log.monotonic + TOOL_PATIENCE;
  if (await log.appendNotice(ref, entry, () => log.monotonic >= due) !== undefined) return;
  throw new CatgaError("NO_RUN", `workflow ${ref.workflow} has no run ${ref.run}, or it has ended`);
}

/**
 * Time after which a tool gives up an entry, in ms: until then it tries again when the run's node has stored another
 * message of the run first, or the store does not answer.
 */
const TOOL_PATIENCE = 5_000;

/**
 * Returns the runs that match the options: the least recently changed run first, or with `newest` the most recently
 * changed. Rejects with `UNAVAILABLE`. `refused`: returns the stored messages that wait for a node with another
 * version, if this process may read them: a run whose calls are among these waits, too.
 * @decides the filters of `app.runs()`, which `catga runs` passes on
 */
export async function* runInfos(
  log: RunLog,
  options: RunsOptions & { readonly newest?: boolean },
  tell: TellRun,
  refused: () => Promise<AwaitingMessages | undefined>,
): AsyncIterableIterator<RunInfo> {
  const { workflow, status, id, open, newest = false } = options;
  const isWanted = (info: RunInfo) =>
    (status === undefined || info.status === status) &&
    (open === undefined || info.status === "unreadable" ||
      open !== (info.status === "done" || info.status === "failed")) &&
    matches(info, options);
  const refusals = await refused();
  const inOrder = <T>(all: readonly T[]) => newest ? all.toReversed() : all;
  if (workflow !== undefined && id !== undefined) {
    const info = await runInfo(log, { workflow, run: id }, tell, refusals);
    if (info !== undefined && isWanted(info)) yield info;
    return;
  }
  const load = ({ ref }: { readonly ref: RunRef }) => runInfo(log, ref, tell, refusals);
  if (status === "stuck" && open !== false) {
    for await (const [noted, info] of ahead(inOrder(await log.stuckNotes.all()), load)) {
      if (info?.status === "unreadable") continue;
      if (info?.status !== status) await passed(log, noted);
      else if ((workflow ?? info.workflow) === info.workflow && (id ?? info.id) === info.id && matches(info, options)) {
        yield info;
      }
    }
    return;
  }
  const isEnd = status === "done" || status === "failed";
  const all = inOrder(await log.all(workflow)).filter(({ ref, ended }) =>
    (id === undefined || ref.run === id) &&
    (status === undefined || status === "unreadable" || ended === isEnd) &&
    (open === undefined || ended !== open)
  );
  for await (const [, info] of ahead(all, load)) {
    if (info !== undefined && isWanted(info)) yield info;
  }
}

/** Returns true if a run has the tag, stage, failure and times that the options name. */
function matches(info: RunInfo, { tag, stage, where, code, started, ended }: RunsOptions): boolean {
  const isIn = (at: Date | undefined, { from, before }: NonNullable<RunsOptions["started"]>) =>
    at !== undefined && (from === undefined || at >= from) && (before === undefined || at < before);
  return (tag === undefined || info.tags.includes(tag)) && (stage === undefined || info.stage === stage) &&
    (where === undefined || hasMembers(info.view, where)) &&
    (code === undefined || info.code === code || info.pending.some(({ error }) => error?.code === code)) &&
    (started === undefined || isIn(info.startedAt, started)) && (ended === undefined || isIn(info.endedAt, ended));
}

/** Returns true if a view has these members with these values. */
function hasMembers(view: unknown, where: Readonly<Record<string, unknown>>): boolean {
  return isRecord(view) && Object.entries(where).every(([name, value]) =>
    value === undefined ||
    (Object.hasOwn(view, name) && encodeValue(view[name], name) === encodeValue(value, `where: ${name}`))
  );
}

/**
 * Returns the runs of the workflows in `handled` that should have continued before a time, in ms since 1970, and have
 * not.
 */
export async function lateRuns(log: RunLog, handled: ReadonlySet<string>, before: number): Promise<string[]> {
  const workflows = new Set([...handled].map(drivenWorkflow));
  const open = (await log.all(undefined)).filter(({ ref, ended }) => !ended && workflows.has(ref.workflow));
  const late: string[] = [];
  // of a run that cannot be decoded here, nobody can say when it should have continued: `runInfos` lists it
  const load = ({ ref }: { readonly ref: RunRef }) => orUndecoded(log.load(ref));
  for await (const [{ ref }, journal] of ahead(open, load)) {
    if (isCatgaError(journal)) continue;
    if (journal !== undefined && pendingOf(journal).some(({ next }) => next !== undefined && next.getTime() < before)) {
      late.push(`${ref.workflow} ${ref.run}`);
    }
  }
  return late;
}

/**
 * Loads all items and yields them in order, a few of them at once: otherwise each load would wait for the previous
 * answer.
 */
async function* ahead<T, R>(all: readonly T[], load: (one: T) => Promise<R>): AsyncGenerator<readonly [T, R]> {
  const loading: Promise<R>[] = [];
  for (const [i, one] of all.entries()) {
    while (loading.length < AHEAD && i + loading.length < all.length) {
      const loaded = load(all[i + loading.length]);
      loaded.catch(() => {}); // thrown when the item is awaited; until then nobody handles the rejection
      loading.push(loaded);
    }
    yield [one, await loading.shift()!];
  }
}

/**
 * Removes the note that says that a run is stuck, because the run is not stuck. Keeps a note that is so new that the
 * run may still become stuck.
 */
async function passed(log: RunLog, { ref, time, sequence }: NotedRun): Promise<void> {
  if (log.now - time < SETTLING) return;
  await log.stuckNotes.remove(ref, sequence).catch(() => {}); // without the permission to write, the note stays
}

async function runInfo(
  log: RunLog,
  ref: RunRef,
  tell: TellRun,
  refused: AwaitingMessages | undefined,
): Promise<RunInfo | undefined> {
  const timeline: RunEntry[] = [];
  const calls: string[] = [];
  let heldAt = 0;
  const journal = await orUndecoded(log.load(ref, ({ sequence, time, entries, mark }) => {
    const by = mark.slice(0, mark.lastIndexOf("."));
    for (const [i, entry] of entries.entries()) {
      for (const one of eachOf(entry)) {
        timeline.push({ at: new Date(time), by, type: typeOf(one), ...shown(one) });
      }
      if (isCalled(entry) || entry.t === "again") calls.push(messageId({ position: positionOf(sequence, i), time }));
      else if (entry.t === "held") heldAt = time;
    }
  }));
  if (journal === undefined) return undefined;
  const changes = changesOf(log, ref, tell);
  if (isCatgaError(journal)) return { ...unreadable(ref, journal, timeline), ...changes };
  const pending = pendingOf(journal);
  const refusal = refused && await refusalOf(ref, journal, { refused, calls, heldAt, pending, now: log.now });
  const status = statusOf(journal);
  return {
    ...{ workflow: ref.workflow, id: ref.run, tags: journal.started!.tags ?? [] },
    ...{ view: journal.view?.value, stage: stageIn(journal.view?.value) },
    code: journal.ended?.error?.code,
    status: refusal !== undefined && (status === "running" || status === "retrying") ? "waiting" : status,
    version: journal.started!.version,
    startedAt: new Date(journal.startedAt),
    endedAt: journal.ended === undefined ? undefined : new Date(journal.endedAt),
    pending: refusal === undefined ? pending : [refusal, ...pending.filter(({ name }) => name !== "")],
    timeline,
    ...redactOf(journal.started!.redact),
    ...changes,
  };
}

/**
 * Returns the refusal of an open run that every live version of its workflow has refused: what the run waits for, in
 * place of its handler. `calls`: ids of the messages that called for the execution of the run; a schedule that has
 * fired may have called for it, too. `heldAt`: time at which a node last began to execute the run. `undefined`: the run
 * was not refused, or is executed since, or is stuck.
 */
async function refusalOf(
  { workflow, run }: RunRef,
  journal: Journal,
  { refused, calls, heldAt, pending, now }: {
    readonly refused: AwaitingMessages;
    readonly calls: readonly string[];
    readonly heldAt: number;
    readonly pending: RunInfo["pending"];
    readonly now: number;
  },
): Promise<PendingStep | undefined> {
  const status = statusOf(journal);
  if (journal.ended !== undefined || status === "stuck") return undefined;
  const name = runType(workflow);
  let found = await refused.of(name + OF_ENTITIES, calls.toReversed());
  if (found === undefined && pending.some(({ next }) => next !== undefined && next.getTime() <= now)) {
    found = await refused.find(name, (payload) => isRecord(payload) && payload.run === run);
  }
  // the refused message is kept until the run has ended or waits
  if (found === undefined || heldAt > found.newest) return undefined;
  const { code, message, since } = found;
  const { attempts, error } = pending.find(({ name }) => name === "") ?? { attempts: 0 };
  const thrown = error?.cause === undefined ? {} : { cause: error.cause };
  return { name: "", attempts, since: new Date(since), next: undefined, error: { code, message, ...thrown } };
}

/**
 * Resolves with the error, if a read of a run rejects because only other nodes can read the run. Rejects with any other
 * error.
 */
function orUndecoded<T>(read: Promise<T>): Promise<T | CatgaError> {
  return read.catch((error) => {
    if (undecodedAt(error) === undefined) throw error;
    return error as CatgaError;
  });
}

/**
 * Describes a run that this node cannot decode, with the status `unreadable`. `timeline`: the entries that it could
 * decode, up to the first one that it could not.
 */
function unreadable(
  { workflow, run: id }: RunRef,
  error: CatgaError,
  timeline: readonly RunEntry[],
): Omit<RunInfo, "retry" | "skip"> {
  const since = new Date(undecodedAt(error)!); // set for the error of a run that was not decoded
  const { code, message } = error;
  return {
    ...{
      workflow,
      id,
      status: "unreadable",
      view: undefined,
      stage: undefined,
      tags: [],
      code: undefined,
      version: 0,
      endedAt: undefined,
      timeline,
    },
    startedAt: timeline[0]?.at ?? since,
    pending: [{ name: "", attempts: 0, since, next: undefined, error: { code, message } }],
    redact: "all",
  };
}

/** Returns the methods with which an operator changes a run. */
function changesOf(log: RunLog, ref: RunRef, tell: TellRun): Pick<RunInfo, "retry" | "skip"> {
  return {
    retry: () => tell(ref, (by) => ({ t: "retried", by })),
    skip: async (step, value, reason) => {
      checkString(`skip ${ref.run}: step`, step);
      checkString(`skip ${ref.run}: reason`, reason);
      const given = value === undefined ? undefined : decodeText(encodeValue(value, `skip ${ref.run}: value`));
      await tell(ref, async (by) => {
        const current = await log.load(ref);
        if (isOwn(step)) {
          throw new CatgaError("CONFLICT", `${show(step)} of run ${ref.run} is no step: retry it, or cancel the run`);
        }
        if (current?.isSettled(step)) {
          throw new CatgaError("CONFLICT", `step ${step} of run ${ref.run} has an outcome already`);
        }
        if (current?.waits.has(step) || current?.sleeps.has(step)) {
          const why = "it waits for a signal, which can be told, or for a time";
          throw new CatgaError("CONFLICT", `${step} of run ${ref.run} is no step that can be skipped: ${why}`);
        }
        return { t: "skipped", step, value: given, reason, by };
      });
    },
  };
}

/**
 * Returns the paths of members to hide in a run's values; "all" if the stored paths are invalid, because any process
 * may have stored them.
 */
function redactOf(redact: unknown): Pick<RunInfo, "redact"> {
  if (redact === undefined) return {};
  return { redact: whyNoPaths(redact) === undefined ? redact as readonly string[] : "all" };
}

/** Returns the steps, sleeps and waits of a run that have begun and not ended, as far as they are recorded. */
function pendingOf(journal: Journal): RunInfo["pending"] {
  const { ended, failures, sleeps, waits, children, failing, unanswered, progress } = journal;
  if (ended !== undefined) return [];
  const progressOf = (name: string) => progress.has(name) ? { progress: progress.get(name)!.value } : {};
  const failed = [...failures].map(([name, { first, total, next, error: { code, message, cause } }]) => ({
    ...{ name, attempts: total, since: new Date(first), next: dateOf(next || undefined) },
    error: { code, message, ...(cause === undefined ? {} : { cause }) },
    ...progressOf(name),
  }));
  if (failing !== undefined) return failed;
  const waiting = [...sleeps, ...waits, ...children].map(([name, one]) => ({
    ...{ name, attempts: 0, since: new Date(one.since), error: undefined },
    next: "until" in one ? dateOf(one.until) : undefined,
  }));
  const named = waiting.map((one) => {
    if (!waits.get(one.name)?.callback) return one;
    // completed, and not taken for more than a moment: the handler does not call it any more
    const isCompleted = journal.completed.has(callbackKey(journal.life, one.name));
    return { ...one, name: `${isCompleted ? "completed " : ""}callback ${one.name}` };
  });
  const asked = unanswered.map(({ name, id, at }) => ({
    ...{ name: `question ${name} ${id}`, attempts: 0, since: new Date(at), next: undefined, error: undefined },
  }));
  const begun = [...progress].filter(([name]) => !failures.has(name)).map(([name, { since }]) => ({
    ...{ name, attempts: 0, since: new Date(since), next: undefined, error: undefined, ...progressOf(name) },
  }));
  return [...failed, ...begun, ...named, ...asked];
}

function dateOf(time: number | undefined): Date | undefined {
  return time === undefined ? undefined : new Date(time);
}

/** Returns the type of an entry in a run's timeline: an attempt of a step is shown alike, whoever stored its end. */
function typeOf(entry: JournalEntry): JournalEntry["t"] {
  if (entry.t !== "tried") return entry.t;
  return entry.next !== undefined ? "failed" : isUndo(entry.step) ? "undone" : "done";
}

/** Returns the name and the value that an entry has in a run's timeline. */
function shown(entry: JournalEntry): { readonly name: string; readonly value: unknown } {
  const name = "step" in entry
    ? entry.step
    : "signal" in entry
    ? entry.signal
    : "question" in entry
    ? entry.question
    : "stage" in entry
    ? entry.stage
    : "";
  return { name, value: valueIn(entry) };
}

function valueIn(entry: JournalEntry): unknown {
  switch (entry.t) {
    case "started":
      return entry.input;
    case "done":
    case "told":
    case "answered":
    case "completed":
    case "ended":
    case "tried":
      return entry.outcome.ok ? entry.outcome.value : entry.outcome.error;
    case "failed":
    case "failing":
      return entry.error;
    case "slept":
    case "waits":
      return dateOf(entry.until);
    case "signalled":
    case "asked":
      return entry.value;
    case "again":
      return entry.started.input;
    case "shown":
      return entry.view;
    case "progress":
      return entry.value;
    case "child":
      return `${entry.workflow} ${entry.run}`;
    case "cancelled":
      return entry.reason;
    case "skipped":
      return { value: entry.value, reason: entry.reason };
  }
}

/** Throws if the options of `runs` are invalid. */
export function checkRunsOptions(options: RunsOptions): void {
  checkKnown("runs", options, RUNS_OPTIONS);
  const { workflow, status, id, open, tag, stage, where, code, started, ended } = options;
  if (where !== undefined) checkObject("runs: where", where, "an object with members of views");
  for (const [name, text] of Object.entries({ tag, stage, code })) {
    if (text !== undefined) checkString(`runs: ${name}`, text);
  }
  for (const [name, times] of Object.entries({ started, ended })) {
    if (times === undefined) continue;
    checkKnown(`runs: ${name}`, times, TIMES);
    for (const time of [times.from, times.before]) {
      if (time === undefined || (time instanceof Date && !Number.isNaN(time.getTime()))) continue;
      throw new TypeError(`runs: ${name}: from and before must be valid dates; got ${show(time)}`);
    }
  }
  if (workflow !== undefined) checkString("runs: workflow", workflow);
  checkBoolean("runs: open", open ?? true);
  if (id !== undefined) checkString("runs: id", id);
  if (status !== undefined && !RUN_STATUS.includes(status)) {
    throw new TypeError(`runs: status must be one of ${RUN_STATUS.join(", ")}; got ${show(status)}`);
  }
}

/** Maximum time between the note of a stuck run and the entry that makes the run stuck, in ms. */
const SETTLING = 600_000;
/** Maximum number of runs that are loaded at once. */
const AHEAD = 4;
const RUNS_OPTIONS = new Set(["workflow", "status", "id", "open", "tag", "stage", "where", "code", "started", "ended"]);
const TIMES = new Set(["from", "before"]);
