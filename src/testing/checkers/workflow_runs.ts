/**
 * Checks workflows: every run must end, no effect may be missing or follow its undo, and a signal or cancel whose
 * result was `ok` must have had its effect.
 */
import { isDeepStrictEqual } from "node:util";
import type { RunEntry, RunInfo } from "../../contract/calls/flow.ts";
import { isFailure } from "../../contract/calls/result.ts";
import type { History, HistoryOperation, HistorySpan, WorkflowStep } from "../history.ts";
import { type Breach, shown } from "./breach.ts";
import { STANDS } from "../explore_plan.ts";
import { callbackOf } from "../recorded_call.ts";
import { isScheduled } from "./deliveries.ts";

/** The members of a {@link History} that {@link checkRuns} reads. */
export type WorkflowHistory = Pick<History, "operations" | "steps" | "runs" | "faults" | "processes">;

/**
 * Returns a breach for each broken promise of these workflows: a started run that has not ended, unless it waits for a
 * signal or a time; a recorded step of which no attempt has ended; a step that goes on, or begins again, after its
 * `undo` has begun; an `undo` of a step that was not done; a run that ended with success though its cancel had the
 * result `ok`; a callback of which two different completions were `ok`, or one that the run does not have, or has
 * behind the callback's end; an entry of the timeline after the run's end.
 *
 * A step on a node that was frozen, cut off or killed may go on after its `undo` has begun, because another node has
 * taken the run over.
 *
 * @example
 * ```ts
 * import { workflow } from "@catga/catga";
 * import { checkRuns, explore } from "@catga/catga/testing";
 *
 * const Trip = workflow<void, string>("Trip");
 * await explore({
 *   seeds: 5,
 *   handlers: Trip.handle((flow) => flow.step("book", () => "booked")),
 *   workload: ({ app, step }) => step("start", () => app.start(Trip, undefined, { id: "7" })),
 *   check: ({ history }) => {
 *     for (const { text } of checkRuns(history, ["Trip"])) throw new Error(text);
 *   },
 * });
 * ```
 */
export function checkRuns(history: WorkflowHistory, workflows: readonly string[]): Breach[] {
  const names = new Set(workflows);
  const runs = history.runs.filter(({ workflow }) => names.has(workflow));
  const steps = Map.groupBy(history.steps, ({ workflow, run }) => `${workflow} ${run}`);
  return [
    ...neverStored(history, names),
    ...runs.flatMap((run) => {
      const own = steps.get(`${run.workflow} ${run.id}`) ?? [];
      return [
        ...unended(run),
        ...missingEffects(run, own),
        ...effectsBehindUndo(history, run, own),
        ...unseenCancels(history.operations, run),
        ...wrongCompletions(history.operations, run),
        ...entriesBehindEnd(run),
      ];
    }),
  ];
}

/** Finds runs that do not exist although the result of their start was `ok`. */
function neverStored({ operations, runs }: WorkflowHistory, names: ReadonlySet<string>): Breach[] {
  const known = new Set(runs.map(({ workflow, id }) => `${workflow} ${id}`));
  return operations.flatMap((operation) => {
    const { method, contract, outcome, start } = operation;
    if (method !== "start" || !names.has(contract) || outcome?.type !== "ok" || isScheduled(operation)) return [];
    const id = String(outcome.value);
    if (known.has(`${contract} ${id}`)) return [];
    return [{
      promise: "workflow: `ok` means stored",
      subject: `run ${id} of ${contract}`,
      text: `was started with ok at ${start}, and is not stored`,
      at: undefined,
    }];
  });
}

function unended(run: RunInfo): Breach[] {
  const { status, timeline, pending } = run;
  if (status === "done" || status === "failed") return [];
  const has = (type: string, name: string) => timeline.some((entry) => entry.type === type && entry.name === name);
  const waits = timeline.some(({ type, name }) =>
    (type === "slept" && !has("woken", name)) || (type === "waits" && !has("took", name))
  );
  if (status === "waiting" && waits) return [];
  const errors = pending.map(({ name, error }) => `${name || "the handler"}${error ? `: ${error.message}` : ""}`);
  const last = timeline.at(-1);
  return [{
    promise: "workflow: every run ends",
    subject: subjectOf(run),
    text: `is ${status} at the end${errors.length === 0 ? "" : ` (${errors.join("; ")})`}, ` +
      `recorded last: ${last?.type} ${last?.name ?? ""}`.trimEnd(),
    at: undefined,
  }];
}

/**
 * Returns a breach for each step that the run has recorded as done, and that no attempt in the history has done. (Steps
 * that send messages are left out, because they have no attempts in the history.)
 */
function missingEffects(run: RunInfo, steps: readonly WorkflowStep[]): Breach[] {
  const skipped = new Set(run.timeline.filter(({ type }) => type === "skipped").map(({ name }) => name));
  return run.timeline.flatMap(({ type, name }) => {
    if (type !== "done" || skipped.has(name)) return [];
    const attempts = steps.filter((step) => step.type === "step" && step.name === name);
    if (attempts.length === 0 || attempts.some(({ outcome }) => outcome?.type === "ok" || outcome?.type === "failed")) {
      return [];
    }
    return [{
      promise: "workflow: no effect is missing",
      subject: subjectOf(run),
      text: `step ${name} is recorded as done, and none of its ${attempts.length} attempt(s) has ended`,
      at: undefined,
    }];
  });
}

function effectsBehindUndo(history: WorkflowHistory, run: RunInfo, steps: readonly WorkflowStep[]): Breach[] {
  const undos = steps.filter(({ type }) => type === "undo");
  return [...Map.groupBy(undos, ({ name }) => name)].flatMap(([name, [undo]]): Breach[] => {
    const attempts = steps.filter((step) => step.type === "step" && step.name === name);
    const wrong = (promise: string, text: string, at: number, shownBy: readonly HistorySpan[]) => [
      { promise, subject: subjectOf(run), text, at, shownBy },
    ];
    const isRecorded = run.timeline.some((entry) =>
      entry.name === name && (entry.type === "done" || entry.type === "skipped" || entry.type === "told")
    );
    if (attempts.every(({ began }) => began > undo.began) && !isRecorded) {
      return wrong(
        "workflow: undo of finished steps",
        `undoes ${name} at ${undo.start}, which was not done`,
        undo.start,
        [undo],
      );
    }
    const late = attempts.find((attempt) =>
      (attempt.ended ?? Infinity) > undo.began && !wasTakenOver(history, attempt, undo)
    );
    if (late === undefined) return [];
    const how = late.began > undo.began ? `began at ${late.start}` : `went on until ${late.end ?? "the end"}`;
    return wrong(
      "workflow: no effect after its undo",
      `attempt ${late.attempt} of step ${name} ${how} on ${late.node}, and its undo began at ${undo.start}`,
      late.end ?? late.start,
      [late, undo],
    );
  });
}

/**
 * Returns true if the node of an attempt was frozen, cut off or killed while the attempt ran, so that another node
 * took the run over.
 */
function wasTakenOver({ faults, processes }: WorkflowHistory, attempt: WorkflowStep, undo: WorkflowStep): boolean {
  const end = attempt.ended ?? Infinity;
  const isAway = faults.some(({ fault, node, began, ended }) =>
    AWAY.has(fault) && (node === attempt.node || node === undefined) && began < end &&
    (ended ?? Infinity) > Math.min(attempt.began, undo.began)
  );
  return isAway ||
    processes.some(({ node, process, endedBy, ended }) =>
      node === attempt.node && process === attempt.process && endedBy === "kill" && ended! <= end
    );
}

/** Finds runs that ended as done although the result of their cancel was `ok`. */
function unseenCancels(operations: readonly HistoryOperation[], run: RunInfo): Breach[] {
  if (run.status !== "done") return [];
  return operations.flatMap((operation) => {
    const { method, contract, key, outcome, start } = operation;
    if (method !== "cancel" || contract !== run.workflow || key !== run.id || outcome?.type !== "ok") return [];
    return [{
      promise: "workflow: a cancel that is ok is seen by the run",
      subject: subjectOf(run),
      text: `is done, and its cancel at ${start} was ok`,
      at: start,
      shownBy: [operation],
    }];
  });
}

/**
 * Finds callbacks of which two calls with different values were told `ok`, and those that were completed with `ok`
 * while the run does not have the completion, or has it behind the end of the callback.
 */
function wrongCompletions(operations: readonly HistoryOperation[], run: RunInfo): Breach[] {
  const completed = operations.flatMap((operation) => {
    const { method, id = "", outcome } = operation;
    const callback = method === "complete" && outcome?.type === "ok" ? callbackOf(id) : undefined;
    const isOwn = callback?.workflow === run.workflow && callback.run === run.id;
    return isOwn ? [{ operation, callback, token: id }] : [];
  });
  const lives = livesOf(run);
  return [...Map.groupBy(completed, ({ token }) => token).values()].flatMap((calls): Breach[] => {
    const [{ operation: first, callback: { life, name } }] = calls;
    const wrong = (operation: HistoryOperation, text: string): Breach => ({
      promise: "workflow: a completion that is ok counts, and one for each callback",
      subject: subjectOf(run),
      text,
      at: operation.start,
      shownBy: [first, ...(operation === first ? [] : [operation])],
    });
    const at = `callback ${name} was completed at ${first.start}`;
    const other = calls.find(({ operation }) => !isDeepStrictEqual(outcomeGiven(operation), outcomeGiven(first)));
    if (other !== undefined) {
      const { operation } = other;
      const given = [first, operation].map((one) => shown(outcomeGiven(one))).join(", and with ");
      return [wrong(operation, `${at} with ${given} at ${operation.start}, both with ok`)];
    }
    const entries = lives?.[life - 1];
    if (entries === undefined) return []; // an earlier life, which the run has removed
    const of = (type: string) => entries.findIndex((entry) => entry.type === type && entry.name === name);
    const [stored, end] = [of("completed"), of("took")];
    if (stored < 0) return [wrong(first, `${at} with ok, and the run does not have that`)];
    return end >= 0 && end < stored ? [wrong(first, `${at} with ok, and had ended before`)] : [];
  });
}

/** Returns what a callback is completed with, as a value that can be compared. */
function outcomeGiven({ input }: HistoryOperation): unknown {
  return isFailure(input) ? { code: input.error.code, message: input.error.message } : input;
}

/** Returns the entries of each life of a run; `undefined`: its first lives are removed. */
function livesOf({ timeline }: RunInfo): readonly RunInfo["timeline"][] | undefined {
  if (timeline[0]?.type !== "started") return undefined;
  const lives: RunEntry[][] = [[]];
  for (const entry of timeline) {
    lives.at(-1)!.push(entry);
    if (entry.type === "again") lives.push([]);
  }
  return lives;
}

function entriesBehindEnd(run: RunInfo): Breach[] {
  const end = run.timeline.findIndex(({ type }) => type === "ended");
  if (end < 0 || end === run.timeline.length - 1) return [];
  const { type, name } = run.timeline[end + 1];
  return [{
    promise: "workflow: a run ends once",
    subject: subjectOf(run),
    text: `has ${`${type} ${name}`.trimEnd()} recorded behind its end`,
    at: undefined,
  }];
}

function subjectOf({ workflow, id }: RunInfo): string {
  return `run ${id} of ${workflow}`;
}

const AWAY: ReadonlySet<string> = new Set([...STANDS, "cut"]);
