/** Reads workflow runs for the dashboard's page. */
import type { ObservedRetry } from "../../contract/nodes/alarms.ts";
import { pendingText, type RunInfo } from "../../contract/calls/flow.ts";
import { shownEntryValue, shownPending, shownView } from "../../contract/declaration/redaction.ts";
import { chosenRuns } from "../../operate/chosen_runs.ts";
import { printableJson } from "../../data/printable.ts";
import { shownId, shownLines, shownText } from "../shown.ts";
import type { FoundRuns, RunCount, RunsRequest, RunView } from "../view.ts";
import type { DashboardSource } from "../dashboard_source.ts";

/**
 * Resolves with the first `most` of these runs, as the page shows them. `showSecrets`: true to show values with the
 * members that workflows hide by `redact`.
 * @decides runs and their steps
 */
export async function runViews(
  runs: AsyncIterable<RunInfo>,
  most: number,
  showSecrets = false,
): Promise<readonly RunView[]> {
  const views: RunView[] = [];
  for await (const run of runs) {
    views.push(viewOf(run, showSecrets));
    if (views.length >= most) break;
  }
  return views;
}

/** Resolves with the first `most` of these runs, and if there are more. */
export async function foundRuns(
  runs: AsyncIterable<RunInfo>,
  most: number,
  showSecrets = false,
): Promise<FoundRuns> {
  const views = await runViews(runs, most + 1, showSecrets);
  return { runs: views.slice(0, most), more: views.length > most };
}

/** Resolves with runs of which a step failed and waits for its next attempt, by workflow; reads at most `most` runs. */
export async function retriedRuns(runs: AsyncIterable<RunInfo>, most: number): Promise<readonly ObservedRetry[]> {
  const found = new Map<string, ObservedRetry>();
  let read = 0;
  for await (const { workflow, pending } of runs) {
    const failed = pending.find(({ error }) => error !== undefined);
    if (failed?.error !== undefined) {
      const { code, message, cause } = failed.error;
      const about = `workflow ${shownText(workflow)}`;
      const count = 1 + (found.get(about)?.count ?? 0);
      const text = cause === undefined ? undefined : shownLines(cause);
      const first = { about, code: shownText(code), message: shownText(message, 1_000), cause: text };
      const since = Math.min(failed.since.getTime(), found.get(about)?.since ?? Infinity);
      found.set(about, { ...(found.get(about) ?? first), count, since });
    }
    if (++read >= most) return [...found.values()].map((each) => ({ ...each, partial: true }));
  }
  return [...found.values()];
}

/** Yields the runs that match a request for changes of runs, in which an empty text is any. */
export function matchingRuns(
  source: Pick<DashboardSource, "runs">,
  { status, workflow, cause }: RunsRequest["matching"],
): AsyncGenerator<RunInfo> {
  const given = (text: string) => text === "" ? undefined : text;
  return chosenRuns((options) => source.runs(options), { status, workflow: given(workflow), cause: given(cause) });
}

/** Resolves with the number of runs that match a request for changes of runs. */
export async function countRuns(
  source: Pick<DashboardSource, "runs">,
  matching: RunsRequest["matching"],
): Promise<RunCount> {
  let count = 0;
  for await (const _ of matchingRuns(source, matching)) count++;
  return { count };
}

function viewOf(info: RunInfo, showSecrets: boolean): RunView {
  const { workflow, id, status, startedAt, pending, timeline } = info;
  // a loop, because `Math.min(...)` would fail for a run with very many pending entries
  let since = (timeline.at(-1)?.at ?? startedAt).getTime();
  for (const each of pending) since = Math.min(since, each.since.getTime());
  const shown = shownPending(info, showSecrets).slice(0, LINES).map(pendingText);
  const lines = timeline.slice(-LINES).map((entry) => {
    const { at, type, name } = entry;
    const value = shownEntryValue(info, entry, showSecrets);
    const time = Number.isNaN(at.getTime()) ? "-" : at.toISOString();
    const text = value === undefined ? "" : ` ${shownText(printableJson(value) ?? "", LINE)}`;
    return `${time}  ${shownText(`${type} ${name}`.trimEnd())}${text}`;
  });
  return {
    workflow: shownText(workflow),
    id: shownId(id),
    key: id,
    status,
    stage: shownText(shownView(info, showSecrets), LINE),
    startedAt: startedAt.getTime(),
    since,
    pending: shownText(shown.join("; "), 400),
    steps: stepsOf({ pending }).map(([shown]) => shown),
    timeline: lines.join("\n"),
  };
}

/** Returns the first pending steps of a run: each in the form that is shown, and its name. */
export function stepsOf({ pending }: Pick<RunInfo, "pending">): readonly (readonly [shown: string, name: string])[] {
  return pending.slice(0, LINES).filter(({ name }) => name !== "").map(({ name }) => [shownText(name), name]);
}

/** Maximum number of pending entries, and of entries of the timeline (the last ones), that are shown. */
const LINES = 100;
/** Maximum length of a value in the timeline, in characters. */
const LINE = 300;
