/**
 * The dashboard: a server for browsers on this machine, and what it shows of a cluster. A client of the cluster, no
 * node of it.
 */
import { isToken } from "../data/subject_token.ts";
import type { RunsOptions } from "../contract/flow.ts";
import { Administration } from "../log/administration/administration.ts";
import { VERSION } from "../version.ts";
import { Collector } from "./collector.ts";
import { carryOut } from "./allowed_changes.ts";
import { letterText } from "./letter_edit.ts";
import { DashboardServer } from "./server.ts";
import { INVALID_TYPE, listEntities } from "./entity_list.ts";
import { readScheduleRuns } from "./schedule_run_views.ts";
import { search } from "./search.ts";
import { shownId, shownText, shownValue } from "./shown.ts";
import type { DashboardSource, EntityView } from "./view.ts";
import { Streams } from "./streams.ts";
import { RUN_STATUS, runViews } from "./run_views.ts";
import { entityEvents, entityInfo } from "../log/administration/entity_history.ts";

/** Options of {@link serveDashboard}. */
export interface DashboardOptions {
  /** What to listen on: a name or an address. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Whether the page may replay and discard dead letters. */
  readonly allowChanges: boolean;
}

/** Serves a page, until it is disposed of. Asks the cluster for nothing while no browser is connected. */
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
    namespace,
    clock,
    stream: () => source.stream("log"),
    kept: () => source.stream("subscriptions"),
    nodes: () => [], // not asked for dead letters
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
      runs: (given) => runViews(source.runs(readRuns(given("workflow"), given("status"))), MOST_RUNS),
      letter: (given) => letterText(administration, given("place")),
      search(given) {
        // one at a time: each reads up to 10,000 messages
        const found = searching.then(() => search(source, administration, given("text")));
        searching = found.catch(() => {});
        return found;
      },
    },
    change: !allowChanges ? undefined : (request) => carryOut(source, administration, request),
  });
}

/** Which runs a browser asks for; what it asks wrongly is left out. */
function readRuns(workflow: string, status: string): RunsOptions {
  return {
    workflow: isToken(workflow, 48) ? workflow : undefined,
    status: RUN_STATUS.find((each) => each === status),
  };
}

/** Runs that are read when a browser asks for them. */
const MOST_RUNS = 500;

// One entity with its history, as the page asks for it: its last events, oldest first.

/** Reads it; `undefined`: nothing is stored of it. A string: the type or id is invalid. Rejects as `LogStream.read`. */
export async function readEntity(
  source: Pick<DashboardSource, "namespace" | "stream" | "bucket">,
  type: string,
  id: string,
): Promise<EntityView | string | undefined> {
  if (!isToken(type, 64)) return INVALID_TYPE;
  if (id === "" || id.length > 256 || !id.isWellFormed()) return "the id of an entity has 1 to 256 characters";
  const stream = await source.stream("entities");
  if (stream === undefined) return undefined;
  const place = { namespace: source.namespace, stream, snapshots: await source.bucket("snapshots"), type, id };
  const info = await entityInfo(place);
  if (info === undefined) return undefined;
  const { version, created, changed, forgotten, snapshot } = info;
  const events: EntityView["events"][number][] = [];
  for await (const event of entityEvents(place, { after: Math.max(0, version - MOST) })) {
    const [position, at] = [event.position, event.time.getTime()];
    if ("fault" in event) {
      events.push({ position, at, event: "", version: undefined, command: "", payload: event.fault });
    } else {
      const { command } = event;
      const name = command === undefined ? "" : shownId(`${command.name} ${command.id}`);
      const payload = shownValue(event.payload);
      events.push({ position, at, event: shownText(event.event), version: event.version, command: name, payload });
    }
    if (events.length >= 2 * MOST) break; // faults have no number
  }
  return {
    ...{ type, id: shownId(id), version, forgotten, events },
    created: created?.getTime(),
    changed: changed?.getTime(),
    snapshot: typeof snapshot === "object"
      ? `${snapshot.version}: ${shownValue(snapshot.state)}`
      : shownText(snapshot ?? ""),
  };
}

/** Events that are shown. */
const MOST = 100;
