/** `runs` and `run`: the runs of workflows: lists them, shows one, tries it again, skips a step, cancels it. */
import { pendingText, RUN_STATUS, type RunInfo } from "../contract/flow.ts";
import { printable, printableJson } from "../data/printable.ts";
import { ClusterView } from "./cluster_view.ts";
import { type Command, DONE, FAILED, type Flags, showDuration, showShort, showTime, UsageError } from "./flags.ts";
import { facts, Listing, print, table, type Terminal } from "./terminal.ts";
import { isWorkflowName } from "../contract/workflow.ts";

/** The command that lists them. */
export const runs: Command = {
  name: "runs",
  words: "[WORKFLOW]",
  summary: "lists the runs of workflows",
  flags: ["status", "limit"],
  more: `
Those that have changed longest ago come first, 100 unless --limit N says more.
--status is running, waiting (for a time, a signal or another run), retrying (a
step failed, and is tried again), stuck (somebody has to decide: catga run),
undoing, done or failed. PENDING is what a run waits for or tries again; a step
whose first attempt runs is not recorded yet.`,
  async run([workflow], flags, terminal) {
    checkWorkflow(workflow);
    const status = flags.choice("status", RUN_STATUS);
    const limit = flags.limit();
    return await ClusterView.during(flags, terminal, async (view) => {
      const listing = new Listing(terminal, flags.has("json"), COLUMNS);
      let more = false;
      for await (const info of view.runsInOrder({ workflow, status })) {
        more = listing.count >= limit;
        if (more) break;
        listing.add(plain(info), row(info));
      }
      const match = workflow !== undefined || status !== undefined ? " match" : "";
      listing.end(`no runs${match} ${view.place}`);
      if (more) terminal.say("there are more: --limit shows them");
      return DONE;
    });
  },
};

/** The command about one of them. */
export const run: Command = {
  name: "run",
  words: "WORKFLOW ID [VERB …]",
  summary: "shows a run: retry, skip STEP [JSON], cancel",
  flags: ["reason", "ahead", "limit"],
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

/** A change of a run. */
type Change =
  | { readonly verb: "retry" }
  | { readonly verb: "cancel"; readonly reason: string }
  | {
    readonly verb: "skip";
    readonly reason: string;
    readonly step: string;
    readonly value: unknown;
    /** Also if nothing is recorded of the step yet. */
    readonly ahead: boolean;
  };

function changeOf(
  verb: string | undefined,
  [step, value, ...more]: readonly string[],
  flags: Flags,
): Change | undefined {
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
  change: Change,
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

/** True if a step is recorded, or the run has ended and no step can be skipped. */
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
  const { workflow, id, status, startedAt, timeline } = info;
  const changed = timeline.at(-1)?.at ?? startedAt;
  return [workflow, id, status, ago(startedAt), ago(changed), showShort(pendingIn(info))];
}

function pendingIn({ pending }: RunInfo): string {
  return pending.map(pendingText).join("; ") || "-";
}

function show(info: RunInfo, limit: number, flags: Flags, terminal: Terminal): void {
  const entries = info.timeline.slice(-limit);
  if (flags.has("json")) {
    terminal.write(`${printableJson(plain(info))}\n`);
    for (const { at, type, ...entry } of entries) {
      terminal.write(`${printableJson({ type: "entry", entry: type, ...entry, at: showTime(at) })}\n`);
    }
    return;
  }
  const { workflow, id, status, version, startedAt, endedAt } = info;
  facts(terminal, `${workflow} ${id}`, [
    ["status", status],
    ["version", `${version}`],
    ["started", showTime(startedAt)],
    ["ended", endedAt === undefined ? "-" : showTime(endedAt)],
    ["pending", pendingIn(info)],
  ]);
  const rows = entries.map(({ at, by, type, name, value }) => [
    ...[showTime(at), type, name === "" ? "-" : name, by],
    value === undefined ? "-" : showShort(printableJson(value) ?? "-"),
  ]);
  terminal.write(`\n${table(terminal, ["STORED", "ENTRY", "NAME", "BY", "VALUE"], rows).join("\n")}\n`);
  const earlier = info.timeline.length - entries.length;
  if (earlier > 0) terminal.say(`${earlier} earlier entries are left out: --limit shows more`);
}

/** A run as `--json` prints it. */
function plain({ startedAt, endedAt, pending, timeline: _, retry: __, skip: ___, ...info }: RunInfo) {
  return {
    type: "run",
    ...info,
    startedAt: showTime(startedAt),
    ...(endedAt === undefined ? {} : { endedAt: showTime(endedAt) }),
    pending: pending.map(({ since, next, ...more }) => ({
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
