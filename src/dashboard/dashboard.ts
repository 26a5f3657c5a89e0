/**
 * The dashboard: a server for browsers on this machine, and the data of a cluster that the server shows. The
 * dashboard is a client of the cluster, not a node.
 */
import { isWorkflowName, runOfStart } from "../contract/declaration/workflow.ts";
import { RUN_STATUS, type RunsOptions } from "../contract/calls/flow.ts";
import { Administration } from "../log/administration/administration.ts";
import { type ScheduleRun, scheduleRuns } from "../log/administration/schedule_runs.ts";
import { VERSION } from "../version.ts";
import { Collector } from "./collecting/collector.ts";
import { carryOut } from "./changing/allowed_changes.ts";
import { letterText } from "./changing/letter_edit.ts";
import { DashboardServer } from "./serving/server.ts";
import { listEntities, readEntity } from "./collecting/entities.ts";
import { search } from "./collecting/search.ts";
import { shownId, shownText } from "./shown.ts";
import type { ScheduleRunsView } from "./view.ts";
import type { DashboardSource } from "./dashboard_source.ts";
import { Streams } from "./serving/streams.ts";
import { countRuns, foundRuns } from "./collecting/run_views.ts";

/** Options of {@link serveDashboard}. */
export interface DashboardOptions {
  /** Name or address on which the server listens. */
  readonly host: string;
  /** Port on which the server listens; 0: any free port. */
  readonly port: number;
  /** True if users of the page may make changes, such as replaying and discarding dead letters. */
  readonly allowChanges: boolean;
}

/**
 * Serves the dashboard's page until it is disposed of. Sends no request to the cluster while no browser is connected.
 */
export async function serveDashboard(
  source: DashboardSource,
  { host, port, allowChanges }: DashboardOptions,
): Promise<DashboardServer> {
  const { namespace, transport: { clock } } = source;
  const streams: Streams = new Streams({
    hello: () => ({ namespace, address: shownText(source.address), version: VERSION, allowChanges, now: clock.now() }),
    history: () => collector.history(),
    onLook: () => collector.start(),
    onLeave: () => collector.stop(),
  });
  const collector = new Collector(source, streams);
  const administration = new Administration({
    ...{ namespace, clock, network: source.transport },
    stream: () => source.stream("log"),
    kept: () => source.stream("subscriptions"),
    nodes: () => [], // no nodes are given, because they are not needed for dead letters
  });
  let searching: Promise<unknown> = Promise.resolve();
  return await DashboardServer.listen({
    host,
    port,
    streams,
    reads: {
      entity: (given) => readEntity(source, given("type"), given("id")),
      entities: (given) => listEntities(source, given("type")),
      schedule: (given) => readScheduleRuns(source, administration, given("contract"), given("id")),
      runs: (given) =>
        foundRuns(source.runs(readRuns(given("workflow"), given("status"))), MAX_RUNS, source.showSecrets),
      "count-runs": (given) => {
        const { workflow = "", status = "stuck" } = readRuns(given("workflow"), given("status"));
        return countRuns(source, { status, workflow, cause: given("cause") });
      },
      letter: (given) => letterText(administration, given("place"), source.showSecrets),
      search(given) {
        // a search begins when the search before has ended, because each reads up to 10,000 messages
        const found = searching.then(() => search(source, administration, given("text")));
        searching = found.catch(() => {});
        return found;
      },
    },
    change: !allowChanges ? undefined : (request) => carryOut(source, administration, request),
  });
}

/** Parses which workflow runs a browser asks for; invalid parameters are ignored. */
function readRuns(workflow: string, status: string): RunsOptions {
  return {
    workflow: isWorkflowName(workflow) ? workflow : undefined,
    status: RUN_STATUS.find((each) => each === status),
  };
}

/** Resolves with the last runs of a schedule, one line for each. Rejects like `LogStream.read`. */
export async function readScheduleRuns(
  source: Pick<DashboardSource, "namespace" | "stream" | "runs">,
  administration: Pick<Administration, "stored">,
  contract: string,
  id: string,
): Promise<ScheduleRunsView> {
  const stream = await source.stream("log");
  if (stream === undefined) return [];
  const { namespace } = source;
  const subscriptions = await administration.stored();
  const runs = await scheduleRuns({ namespace, stream, subscriptions, contract, id }, MAX_RUNS_OF_SCHEDULE);
  return await Promise.all(runs.map((run) => lineOf(source, contract, run)));
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

/** Maximum number of workflow runs in an answer to a browser. */
const MAX_RUNS = 500;
/** Maximum number of runs that are listed for a schedule. */
const MAX_RUNS_OF_SCHEDULE = 20;
