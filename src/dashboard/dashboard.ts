/** The dashboard: a server for browsers on this machine, and what it shows of a cluster. A client of the cluster, no node of it. */
import { Administration } from "../log/administration/administration.ts";
import { VERSION } from "../version.ts";
import { carryOut } from "./changes.ts";
import { Collector } from "./collector.ts";
import { readEntity } from "./entity_reading.ts";
import { DashboardServer } from "./server.ts";
import { shownText } from "./shown.ts";
import type { DashboardSource } from "./source.ts";
import { Streams } from "./streams.ts";

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
  return await DashboardServer.listen({
    host,
    port,
    streams,
    entity: (type, id) => readEntity(source, type, id),
    change: allowChanges ? (request) => carryOut(administration, request) : undefined,
  });
}
