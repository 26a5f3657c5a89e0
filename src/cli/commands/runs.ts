/**
 * `runs`: lists runs of workflows, and retries or cancels many at once. `run`: shows and changes one run. The filters
 * are applied in `flow/calls/run_infos.ts`; their flags are parsed here.
 * @decides `catga runs` and `catga run`: retry, cancel, skip or signal from a shell
 */
import { pendingText, RUN_STATUS, type RunInfo } from "../../contract/calls/flow.ts";
import { redacted, shownEntryValue, shownPending, shownView } from "../../contract/declaration/redaction.ts";
import { isRecord } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";
import { changeEach } from "../../operate/change_each.ts";
import { chosenRuns, type RunChoice } from "../../operate/chosen_runs.ts";
import { printable, printableJson } from "../../data/printable.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { showDuration, showShort, showTime } from "../terminal/duration.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { facts, Listing, print } from "../terminal/listing.ts";
import { table } from "../terminal/table.ts";
import { drivenWorkflow, isWorkflowName } from "../../contract/declaration/workflow.ts";

/** The `runs` command of the tool. */
export const runs: CliCommand = {
  name: "runs",
  words: "[WORKFLOW | VERB]",
  summary: "runs of workflows: lists, retries, cancels them",
  flags: ["status", "workflow", "tag", "stage", "where", "code", "cause", "since", "until", "reason", "yes", "limit"],
  more: `
Those that have changed longest ago come first, 100 unless --limit N says more.
--status is running, waiting (for a time, a signal, another run, or a program
with another version of the workflow), retrying (a step failed, and is tried
again), stuck (somebody has to decide: catga run), undoing, done, failed, or
unreadable (its records need a key, see --codec, or a later version of Catga).
PENDING is what a run waits for or tries again; a step whose first attempt runs
is not recorded yet. --cause is a part of such an error, and --code the code of
one, or of the run's own end. --since and --until are times of the start: 2h is
two hours ago, 2026-11-30 the midnight before that day in UTC.

VERB is retry or cancel, for all runs that match, and needs --status, one of
those that have not ended and can be read: retry has what is pending tried at
once, cancel, with --reason, ends them with CANCELLED. They only count what they
would do, until --yes.`,
  async run([word, more], flags, terminal) {
    if (more !== undefined) throw new UsageError("usage: catga runs [WORKFLOW | retry | cancel]");
    const verb = word === "retry" || word === "cancel" ? word : undefined;
    const workflow = flags.text("workflow") ?? (verb === undefined ? word : undefined);
    checkWorkflow(workflow);
    if (verb === undefined && word !== undefined && word !== workflow) {
      throw new UsageError(`give one workflow: ${word} or --workflow ${workflow}`);
    }
    const choice = choiceOf(workflow, flags);
    if (verb !== undefined) return await changeAll(verb, choice, flags, terminal);
    for (const flag of ["reason", "yes"] as const) {
      if (flags.has(flag)) throw new UsageError(`--${flag} is for catga runs retry and catga runs cancel`);
    }
    const limit = flags.limit();
    return await ClusterView.during(flags, terminal, async (view) => {
      const listing = new Listing(terminal, flags.has("json"), COLUMNS);
      let more = false;
      for await (const info of runsOf(view, choice)) {
        more = listing.count >= limit;
        if (more) break;
        listing.add(plain(info), row(info));
      }
      if (listing.count === 0) await checkWorkflowIsKnown(view, workflow);
      listing.end(noRuns(view, choice));
      if (more) terminal.say("there are more: --limit shows them");
      return DONE;
    });
  },
};

/** Returns the choice of runs that the flags stand for. Throws a {@link UsageError} if one is invalid. */
function choiceOf(workflow: string | undefined, flags: Flags): RunChoice {
  const [from, before] = [flags.time("since"), flags.time("until")];
  return {
    workflow,
    status: flags.choice("status", RUN_STATUS),
    cause: flags.part("cause"),
    code: flags.text("code"),
    tag: flags.text("tag"),
    stage: flags.text("stage"),
    where: membersOf(flags.text("where")),
    started: from === undefined && before === undefined ? undefined : { from, before },
  };
}

function membersOf(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (text === undefined) return undefined;
  const value = parsedJson(text);
  if (isRecord(value)) return value;
  throw new UsageError(`--where takes members of views as JSON, as '{"state":"packing"}'; got ${JSON.stringify(text)}`);
}

function runsOf(view: ClusterView, choice: RunChoice): AsyncGenerator<RunInfo> {
  return chosenRuns((options) => view.runsInOrder(options), choice);
}

function noRuns(view: ClusterView, choice: RunChoice): string {
  const all = Object.values(choice).every((part) => part === undefined);
  return `no runs${all ? "" : " match"} ${view.place}`;
}

/** Throws an `Error` if no node handles the workflow, and no run of it is stored. */
async function checkWorkflowIsKnown(view: ClusterView, workflow: string | undefined): Promise<void> {
  if (workflow === undefined) return;
  const handled = new Set((await view.nodes()).flatMap(({ handles }) => handles.map(drivenWorkflow)));
  handled.delete(undefined);
  if (handled.has(workflow)) return;
  const log = await view.runLog();
  if (log !== undefined && (await log.all(workflow)).length > 0) return;
  const known = [...handled].sort().join(", ") || "none";
  throw new Error(`there is no workflow ${workflow} ${view.place}; nodes handle ${known}`);
}

/** Retries, cancels or counts all runs that match the flags. Resolves with the exit code. */
async function changeAll(
  verb: "retry" | "cancel",
  choice: RunChoice,
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const reason = flags.text("reason");
  if (choice.status === undefined) throw new UsageError(`runs ${verb} takes --status, such as --status stuck`);
  if (choice.status === "done" || choice.status === "failed") {
    throw new UsageError(`runs ${verb}: a run that is ${choice.status} has ended`);
  }
  if (choice.status === "unreadable") {
    const need = "give --codec FILE with its key, or take a later version of Catga";
    throw new UsageError(`runs ${verb}: a run that is unreadable cannot be changed: ${need}`);
  }
  if (verb === "retry" && reason !== undefined) throw new UsageError("--reason is for cancel");
  if (verb === "cancel" && !reason) throw new UsageError("runs cancel takes --reason TEXT, which stays with the runs");
  return await ClusterView.during(flags, terminal, async (view) => {
    let [count, failed] = [0, 0];
    const change = async ({ workflow, id, retry }: RunInfo) => {
      // `reason` is set: it was checked above
      if (flags.has("yes")) await (verb === "retry" ? retry() : view.cancelRun(workflow, id, reason!));
    };
    for await (const [{ workflow, id }, error] of changeEach(runsOf(view, choice), change)) {
      count++;
      if (!flags.has("yes")) continue;
      if (error !== undefined) {
        failed++; // the run may have ended after it was listed
        terminal.say(printable(`${workflow} ${id}: ${error.code}: ${error.message}`));
        continue;
      }
      print(terminal, flags.has("json"), { [verb]: { workflow, id } }, `${DID[verb]}: ${workflow} ${id}`);
    }
    if (count === 0) {
      await checkWorkflowIsKnown(view, choice.workflow);
      terminal.say(printable(noRuns(view, choice)));
      return DONE;
    }
    if (flags.has("yes")) return failed === 0 ? DONE : FAILED;
    const would = verb === "retry" ? "retried" : "cancelled";
    terminal.say(`${count} run${count === 1 ? "" : "s"} would be ${would}: --yes does it`);
    return FAILED;
  });
}

/** The `run` command of the tool. */
export const run: CliCommand = {
  name: "run",
  words: "WORKFLOW ID [VERB …]",
  summary: "shows a run: retry, skip STEP [JSON], cancel",
  flags: ["reason", "ahead", "limit", "show-secrets"],
  more: `
Shows how the run stands, what it waits for or tries again, and the latest
entries of what is recorded of it: 100 unless --limit N says more, with --json
all. retry tries what is pending at once. cancel ends the run with CANCELLED,
when what is finished is undone. skip STEP [JSON] records a value, null unless
given, for a step that has none: that of a send is what its handler would have
returned. --ahead: also for one of which nothing is recorded, because it has not
begun, or its first attempt runs; without it such a name is a slip, and nothing
is recorded. cancel and skip take --reason, which stays with the run.`,
  async run([workflow, id, verb, ...rest], flags, terminal) {
    checkWorkflow(workflow);
    const change = changeOf(verb, rest, flags);
    const limit = flags.limit();
    return await ClusterView.during(flags, terminal, async (view) => {
      for await (const info of view.runs({ workflow, id })) {
        if (change !== undefined) return await changed(view, info, change, flags, terminal);
        show(info, limit, flags, terminal);
        return DONE;
      }
      terminal.say(printable(`there is no run ${id} of ${workflow} ${view.place}`));
      return FAILED;
    });
  },
};

/** A change of one run that the command line asks for. */
type RunChange =
  | { readonly verb: "retry" }
  | { readonly verb: "cancel"; readonly reason: string }
  | {
    readonly verb: "skip";
    readonly reason: string;
    readonly step: string;
    readonly value: unknown;
    /** True if the step may be skipped even if the run has not recorded it yet. */
    readonly ahead: boolean;
  };

function changeOf(
  verb: string | undefined,
  [step, value, ...more]: readonly string[],
  flags: Flags,
): RunChange | undefined {
  const reason = flags.text("reason");
  if (verb !== "cancel" && verb !== "skip" && reason !== undefined) {
    throw new UsageError("--reason is for cancel and skip");
  }
  const ahead = flags.has("ahead");
  if (verb !== "skip" && ahead) throw new UsageError("--ahead is for skip");
  if (verb === undefined) return undefined;
  if (verb !== "retry" && verb !== "cancel" && verb !== "skip") {
    throw new UsageError(`run takes retry, cancel or skip; got ${JSON.stringify(verb)}`);
  }
  if (verb !== "skip" ? step !== undefined : step === undefined || more.length > 0) {
    throw new UsageError("usage: catga run WORKFLOW ID [retry | cancel | skip STEP [JSON]]");
  }
  if (verb === "retry") return { verb };
  if (reason === undefined || reason === "") {
    throw new UsageError(`${verb} takes --reason TEXT, which stays with the run`);
  }
  return verb === "cancel" ? { verb, reason } : { verb, reason, step, value: parsed(value), ahead };
}

function parsed(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`the value of a step is JSON, such as '{"ok":true}' or 7; got ${JSON.stringify(text)}`);
  }
}

async function changed(
  view: ClusterView,
  info: RunInfo,
  change: RunChange,
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const { workflow, id } = info;
  if (change.verb === "skip" && !change.ahead && !isKnown(info, change.step)) {
    const why = `nothing is recorded of a step ${change.step} of ${workflow} ${id}; pending: ${pendingIn(info)}`;
    terminal.say(printable(`${why}. With --ahead its value is recorded before it begins, or while it first runs`));
    return FAILED;
  }
  if (change.verb === "retry") await info.retry();
  else if (change.verb === "skip") await info.skip(change.step, change.value, change.reason);
  else await view.cancelRun(workflow, id, change.reason);
  print(terminal, flags.has("json"), { [change.verb]: { workflow, id } }, `${DID[change.verb]}: ${workflow} ${id}`);
  return DONE;
}

/** Returns true if the run has recorded the step, or if the run has ended, so that no step can be skipped. */
function isKnown({ pending, timeline, endedAt }: RunInfo, step: string): boolean {
  return endedAt !== undefined || [...pending, ...timeline].some(({ name }) => name === step);
}

const DID = { retry: "to be tried again", cancel: "to be cancelled", skip: "step skipped" } as const;

function checkWorkflow(name: string | undefined): void {
  if (name === undefined || isWorkflowName(name)) return;
  throw new UsageError(`${JSON.stringify(name)} is not the name of a workflow, such as Order`);
}

const COLUMNS = ["WORKFLOW", "ID", "STATUS", "STARTED", "CHANGED", "PENDING"];

function row(info: RunInfo): string[] {
  const { workflow, id, startedAt, timeline } = info;
  const changed = timeline.at(-1)?.at ?? startedAt;
  return [workflow, id, statusIn(info), ago(startedAt), ago(changed), showShort(pendingIn(info))];
}

function statusIn(info: RunInfo, secrets = false): string {
  const view = shownView(info, secrets);
  return view === "" ? info.status : `${info.status}: ${showShort(view)}`;
}

/**
 * Returns the stored errors of the pending entries' last attempts, with their first stack frames, as lines of a
 * table.
 */
function causesIn({ pending }: RunInfo): (readonly [string, string])[] {
  return pending.flatMap(({ error }) =>
    (error?.cause?.split("\n").slice(0, 4) ?? []).map((line, i) => [i === 0 ? "cause" : "", line] as const)
  );
}

function pendingIn(info: RunInfo, secrets = false): string {
  return shownPending(info, secrets).map(pendingText).join("; ") || "-";
}

function show(info: RunInfo, limit: number, flags: Flags, terminal: Terminal): void {
  const showSecrets = flags.has("show-secrets");
  const entries = info.timeline.slice(-limit).map((entry) => ({
    ...entry,
    value: shownEntryValue(info, entry, showSecrets),
  }));
  if (flags.has("json")) {
    terminal.write(`${printableJson(plain(info, showSecrets))}\n`);
    for (const { at, type, ...entry } of entries) {
      terminal.write(`${printableJson({ type: "entry", entry: type, ...entry, at: showTime(at) })}\n`);
    }
    return;
  }
  const { workflow, id, version, startedAt, endedAt } = info;
  facts(terminal, `${workflow} ${id}`, [
    ["status", statusIn(info, showSecrets)],
    ["version", `${version}`],
    ["started", showTime(startedAt)],
    ["ended", endedAt === undefined ? "-" : showTime(endedAt)],
    ["pending", pendingIn(info, showSecrets)],
    ...causesIn(info),
  ]);
  const rows = entries.map(({ at, by, type, name, value }) => [
    ...[showTime(at), type, name === "" ? "-" : name, by],
    value === undefined ? "-" : showShort(printableJson(value) ?? "-"),
  ]);
  terminal.write(`\n${table(terminal, ["STORED", "ENTRY", "NAME", "BY", "VALUE"], rows).join("\n")}\n`);
  const earlier = info.timeline.length - entries.length;
  if (earlier > 0) terminal.say(`${earlier} earlier entries are left out: --limit shows more`);
}

/** Returns a run in the form in which `--json` prints it. */
function plain(
  run: RunInfo,
  secrets = false,
) {
  const { startedAt, endedAt, pending: _, view, timeline: __, retry: ___, skip: ____, ...info } = run;
  return {
    type: "run",
    ...info,
    view: secrets ? view : redacted(view, info.redact),
    startedAt: showTime(startedAt),
    ...(endedAt === undefined ? {} : { endedAt: showTime(endedAt) }),
    pending: shownPending(run, secrets).map(({ since, next, ...more }) => ({
      ...more,
      since: showTime(since),
      next: next && showTime(next),
    })),
  };
}

function ago(time: Date): string {
  const ms = Date.now() - time.getTime();
  return Number.isNaN(ms) ? "-" : showDuration(Math.max(0, ms));
}
