/**
 * The end of a soak: a new client probes whether shared state works again, and whether each node answers. It is a
 * process of its own, so that it runs the sources that the nodes run.
 *
 *   … test/soak/last_look.ts <nats url>[,<nats url>…] '<options as JSON>'
 *
 * @module
 */
import process from "node:process";
import { aftermath } from "../support/aftermath.ts";
import { leaderProbe, lockProbe, sendProbe } from "../support/liveness.ts";
import { readGaps } from "./log.ts";
import { View } from "./messages.ts";
import { CLAIM_LEASE, LEADERS, LOCK_TTL, LOCKS, Once, workOf } from "./shared.ts";

/** What it is to look at. */
export interface LastLookOptions {
  /** Of the log, where the processes note the gaps of their loops. */
  readonly folder: string;
  readonly replicas: number;
  /** In ms. */
  readonly heartbeat: number;
  /** What the store may take beyond a ttl, in ms. */
  readonly election: number;
  /** Ids of idempotent commands without a result that a sender got; and ids that were not used before. */
  readonly ids: readonly string[];
  readonly fresh: readonly string[];
  /** The nodes that there are. */
  readonly nodes: readonly string[];
}

/** What it prints. */
export interface LastLookLine {
  readonly event: "looked";
  readonly violations: readonly string[];
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [url, text] = process.argv.slice(2);
  const { folder, replicas, heartbeat, election, ids, fresh, nodes } = JSON.parse(text) as LastLookOptions;
  const options = { urls: url.split(","), namespace: "default", replicas, gaps: () => readGaps(folder) };
  const once = (of: readonly string[], within: number, app: Parameters<Parameters<typeof aftermath>[1]>[0]) =>
    of.map((id) =>
      sendProbe(`id ${id}`, within + election, (options) => app.send(Once, workOf(id), { id, ...options }))
    );
  const violations = await aftermath(options, (app) => [
    ...LOCKS.map((key) => lockProbe(app, key, LOCK_TTL + election)),
    ...LEADERS.map((name) => leaderProbe(app, name, LOCK_TTL + election)),
    ...once(ids, CLAIM_LEASE, app),
    ...once(fresh, heartbeat, app),
    ...nodes.map((node) =>
      sendProbe(
        `node ${node}`,
        heartbeat + election,
        ({ signal }) => app.send(View, undefined, { node, signal, timeout: 1_000 }),
      )
    ),
  ]);
  const line: LastLookLine = { event: "looked", violations };
  console.log(JSON.stringify(line));
  process.exit(0);
}
