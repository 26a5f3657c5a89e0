/** The last runs of a schedule, as the page shows them: a line for each, read when a browser asks. */
import type { Administration } from "../log/administration/administration.ts";
import { type ScheduleRun, scheduleRuns } from "../log/administration/schedule_runs.ts";
import { runOfStart } from "../contract/workflow.ts";
import { shownId, shownText } from "./shown.ts";
import type { DashboardSource, ScheduleRunsView } from "./view.ts";

/** The last runs of a schedule. Rejects as `LogStream.read`. */
export async function readScheduleRuns(
  source: Pick<DashboardSource, "namespace" | "stream" | "runs">,
  administration: Pick<Administration, "stored">,
  contract: string,
  id: string,
): Promise<ScheduleRunsView> {
  const stream = await source.stream("log");
  if (stream === undefined) return { runs: [] };
  const { namespace } = source;
  const subscriptions = await administration.stored();
  const runs = await scheduleRuns({ namespace, stream, subscriptions, contract, id }, MOST);
  return { runs: await Promise.all(runs.map((run) => lineOf(source, contract, run))) };
}

async function lineOf(
  source: Pick<DashboardSource, "runs">,
  contract: string,
  { id, at, position, outcomes }: ScheduleRun,
): Promise<string> {
  const started = runOfStart(contract, id);
  let became = outcomes.map(({ service, subscription, outcome }) =>
    `${OUTCOMES[outcome]} ${shownText(`${service}/${subscription}`)}`
  ).join(", ");
  if (started !== undefined) {
    for await (const { status } of source.runs({ workflow: started.workflow, id: started.run })) {
      became = `run ${status}`;
    }
  }
  return `${at.toISOString()}  ${became || "no subscription has it"}  ${shownId(id)}, position ${position}`;
}

const OUTCOMES = {
  handled: "handled by",
  waits: "not handled yet by",
  retrying: "tried again by",
  dead: "a dead letter of",
} as const;

/** Runs that are shown. */
const MOST = 20;
