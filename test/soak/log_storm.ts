/**
 * A soak of the log: publishers and the nodes of a service in both runtimes, which are killed, frozen, cut off,
 * restarted and deployed anew by a seed, all of them away for a while, the server killed now and then; and the checker
 * over what they wrote down.
 *
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";
import type { LogHandler, LogNodeOptions } from "../processes/log_node.ts";
import { ServerTrio } from "../processes/server_trio.ts";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { LogCluster } from "../support/log_cluster.ts";

/** Options of {@link soakLog}. */
export interface LogStormOptions {
  readonly events: number;
  readonly kills: number;
  readonly seed: number;
  /** Events a second, of all publishers; 3,000. */
  readonly rate?: number;
  /** How long all nodes are away at once, half-way, in ms; 60,000. */
  readonly down?: number;
  /** How long it may take to handle what is left at the end, in ms; 300,000. */
  readonly settled?: number;
  /**
   * Kills of one of three servers that replicate the log, beside those of processes; 0: there is one server, which is
   * killed now and then.
   */
  readonly serverKills?: number;
  readonly plant?: SourcePlant | undefined;
  onProgress?(line: string): void;
}

/** What came of it. */
export interface LogStormReport {
  readonly violations: readonly string[];
  readonly sums: { readonly ok: number; readonly runs: number; readonly repeats: number };
  readonly deeds: Readonly<Record<string, number>>;
  /** How long the publishers took, and all of it, in ms. */
  readonly published: number;
  readonly took: number;
}

const BILLING: LogHandler = { category: "Happened", name: "billing" };
const STOCK: readonly LogHandler[] = [{ category: "Happened", name: "stock" }, { category: "Also", name: "stock" }];
/** What `stock` is called after the deploy; it handles all that the log has. */
const STORE: readonly LogHandler[] = STOCK.map((handler) => ({ ...handler, name: "store", from: "start" }));
const BEFORE: Partial<LogNodeOptions> = { handles: [BILLING, ...STOCK] };
const AFTER: Partial<LogNodeOptions> = { version: 2, handles: [BILLING, ...STORE] };
const NODES = ["d1", "b1", "d2", "b2"];
const PUBLISHERS = ["d8", "b8"];
/** What strikes any node, a leader, or the server; and how often. */
const BLOWS = [
  ["kill", 0.36],
  ["kill leader", 0.2],
  ["freeze leader", 0.08],
  ["cut", 0.08],
  ["cut leader", 0.1],
  ["drain", 0.1],
  ["server", 0.08],
] as const;
const AWAY = 1_500; // ms at most until a node comes back
const FROZEN = 6_000; // ms at most
/** Ms at most: a process counts as gone after 6 s, and comes back. */
const CUT = 10_000;

/** Runs it. Rejects if it cannot run; broken promises are in the report. */
export async function soakLog(options: LogStormOptions): Promise<LogStormReport> {
  const { events, kills, seed, rate = 3_000, down = 60_000, settled = 300_000, serverKills = 0, plant } = options;
  const { onProgress = () => {} } = options;
  await using tree = plant === undefined ? undefined : await plantedTree(plant);
  await using trio = serverKills > 0 ? await ServerTrio.open() : undefined;
  await using cluster = await LogCluster.open({
    ...{ handles: BEFORE.handles!, root: tree?.root },
    ...(trio === undefined ? {} : { urls: trio.cluster.urls, replicas: 3 }),
  });
  await using stack = new AsyncDisposableStack();
  const links = new Map<string, TcpProxy>();
  // three servers are struck themselves
  if (trio === undefined) {
    for (const id of NODES) links.set(id, stack.use(await startTcpProxy(cluster.server.port)));
  }
  let version = BEFORE;
  const start = (id: string) => cluster.start(id, version, links.get(id)?.url);
  await Promise.all(NODES.map(start));
  const random = seededRandom(seed);
  const began = performance.now();
  const share = Math.ceil(events / PUBLISHERS.length);
  const publishers = await Promise.all(PUBLISHERS.map((id) =>
    cluster.publisher(id, {
      count: share,
      pace: rate / PUBLISHERS.length,
      categories: ["Happened", "Happened", "Also"],
      keys: 200,
      atOnce: 1_024,
      timeout: 60_000,
    })
  ));
  let published = Infinity;
  const publishing = Promise.all(publishers.map((publisher) => publisher.ended))
    .then(() => void (published = performance.now() - began));
  const deeds: Record<string, number> = {};
  const did = (what: string) => deeds[what] = (deeds[what] ?? 0) + 1;
  const every = (1_000 * events) / rate / (kills + 1);
  const progress = async () => {
    const { ok, runs, repeats } = (await cluster.read()).sums;
    onProgress(
      `${Math.round((performance.now() - began) / 1_000)} s: ${ok} ok, ${runs} runs, ${repeats} repeats, ` +
        `${cluster.history.violations.length} violations; ${JSON.stringify(deeds)}`,
    );
  };

  for (let i = 0; i < kills; i++) {
    if (i === kills >> 1) {
      await Promise.all(NODES.map((id) => cluster.kill(id)));
      did("all away");
      await wait(down);
      await Promise.all(NODES.map(start));
    }
    if (i === Math.floor(kills * 0.75)) {
      for (const handler of STORE) cluster.expect(handler);
      version = AFTER;
      for (const id of NODES) {
        await cluster.retire(id);
        await start(id);
        did("deploy");
      }
      cluster.forget("app/stock");
    }
    await wait(every * (0.5 + random()));
    await strike(cluster, links, random, start, did);
    if (trio !== undefined && Math.floor((i + 1) * serverKills / kills) > Math.floor(i * serverKills / kills)) {
      await strikeServer(cluster, trio, random);
      did("one of three servers");
    }
    await progress();
  }
  await publishing;
  const violations: string[] = [];
  const blame = (error: Error) => void violations.push(error.message);
  await cluster.settled(settled).catch(blame);
  await progress();
  violations.push(...await cluster.violations());
  if (violations.length === 0) await cluster.finish({ stream: false }).catch(blame);
  const { sums } = cluster.history;
  return { violations, sums, deeds, published, took: performance.now() - began };
}

/** One blow; resolves when what it struck is there again. */
async function strike(
  cluster: LogCluster,
  links: ReadonlyMap<string, TcpProxy>,
  random: () => number,
  start: (id: string) => Promise<unknown>,
  did: (what: string) => void,
): Promise<void> {
  // as many numbers are drawn whatever it is
  const [dice, which, long] = [random(), random(), random()];
  let left = dice;
  const [drawn] = BLOWS.find(([, share]) => (left -= share) < 0) ?? BLOWS[0];
  // three servers have blows of their own, and no links
  const what = links.size === 0 && (drawn === "server" || drawn.startsWith("cut")) ? "kill" : drawn;
  did(what);
  const any = NODES[Math.floor(which * NODES.length)];
  if (what === "server") {
    cluster.fault("server");
    await cluster.server.kill(long < 0.5 ? "SIGKILL" : "SIGTERM");
    await wait(long * AWAY);
    return await cluster.restartServer();
  }
  const struck = what.endsWith("leader") ? await cluster.leader("billing") : any;
  if (what === "freeze leader") {
    cluster.freeze(struck);
    await wait(long * FROZEN);
    return cluster.thaw(struck);
  }
  if (what.startsWith("cut")) {
    const link = links.get(struck)!; // of one server each has one
    cluster.unreachable(struck);
    link.cut();
    await wait(long * CUT);
    link.restore();
    return cluster.reachable(struck);
  }
  if (what === "drain") await cluster.retire(struck);
  else await cluster.kill(struck);
  await wait(long * AWAY);
  await start(struck);
}

/** Kills one of three servers; resolves when it is there again. */
async function strikeServer(cluster: LogCluster, trio: ServerTrio, random: () => number): Promise<void> {
  const [which, long] = [Math.floor(random() * 3), random()];
  const server = trio.server(which);
  cluster.fault(`n${which} killed`);
  await server.stop(long < 0.5 ? "SIGKILL" : "SIGTERM");
  await wait(long * AWAY);
  await server.start({ wipe: false });
  cluster.fault(`n${which} started`);
}
