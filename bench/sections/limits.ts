/**
 * Limits over all nodes: what a tenant waits behind another one's backlog, what a limit costs, what it keeps in memory,
 * and how soon a slot is used again.
 */
import { setTimeout as wait } from "node:timers/promises";
import { fetchOnce, findPostgres } from "../../test/support/databases.ts";
import type { Program } from "../program.ts";
import type { Charges, Charging, Variant } from "../programs/limits.ts";
import type { RemoteOptions } from "../programs/remote.ts";
import type { Stage } from "../stage.ts";
import { median } from "../statistics.ts";
import type { Table, Unit } from "../table.ts";
import type { Effort, Measure } from "./section.ts";

const FILE = "programs/limits.ts";
/** As `programs/limits.ts` has it, which starts a node when it is loaded. */
const SLOTS = 12;
/** How long a task may take, in ms. */
const PATIENCE = 600_000;
const PG_BOSS = "pg-boss, groupConcurrency: 5";

/** Measures limits. */
export const limits: Measure = async (stage, effort) => [
  await behind(stage, effort),
  await cost(stage, effort),
  await keys(stage, effort),
  await slots(stage, effort),
  await deaths(stage, effort),
  await beside(stage, effort),
];

/** Nodes and a client of one namespace. */
class Cluster {
  readonly nodes: readonly Program[];
  readonly client: Program;

  private constructor(nodes: readonly Program[], client: Program) {
    this.nodes = nodes;
    this.client = client;
  }

  static async start(stage: Stage, count: number, variant: Variant, more: Partial<RemoteOptions> = {}, file = FILE) {
    const options = { url: stage.url, group: stage.nextGroup(), transport: stage.transports[0], variant, ...more };
    const begin = (side: string) => stage.start(file, [side, JSON.stringify(options)]);
    const client = await begin("client");
    const nodes = await Promise.all(Array.from({ length: count }, () => begin("node")));
    return new Cluster(nodes, client);
  }

  /** Publishes; resolves with the time at which all was stored. */
  publish(charges: Partial<Charges> & Pick<Charges, "count">): Promise<number> {
    return this.client.ask("publish", { tenant: "A", tenants: 1, from: 0, ms: 0, ...charges }, PATIENCE);
  }

  /** What each node has handled of these tenants. */
  charging(tenant = "A"): Promise<Charging[]> {
    return Promise.all(this.nodes.map((node) => node.ask<Charging>("charging", tenant)));
  }

  /** Resolves with what the nodes have handled once that is so many. */
  async handled(count: number, tenant = "A"): Promise<Charging[]> {
    for (const end = performance.now() + PATIENCE; performance.now() < end; await wait(20)) {
      const all = await this.charging(tenant);
      if (all.reduce((sum, each) => sum + each.count, 0) >= count) return all;
    }
    throw new Error(`${count} of ${tenant} were not handled in ${PATIENCE} ms`);
  }
}

function tableOf(id: string, title: string, unit: Unit, columns: readonly string[]): Omit<Table, "rows" | "notes"> {
  return { ...{ id: `limits-${id}`, title: `Limits: ${title}`, unit, columns }, pairs: [] };
}

async function behind(stage: Stage, effort: Effort): Promise<Table> {
  const count = effort.count(50_000, 10_000, 100);
  const rows = [];
  for (const [name, variant] of [["nothing", "concurrency"], ["fair", "fair"], ["8 of each", "8 of each"]] as const) {
    const took: number[] = [];
    for (let left = name === "nothing" ? 1 : effort.rounds(3, 1); left > 0; left--) {
      const cluster = await Cluster.start(stage, 2, variant);
      await cluster.publish({ count, ms: 20 });
      const stored = await cluster.publish({ tenant: "B", from: count, count: 10, ms: 20 });
      const all = await cluster.handled(10, "B");
      took.push(Math.max(...all.map(({ last }) => last)) - stored);
      await stage.clear();
    }
    rows.push({ name, cells: [took] });
  }
  return {
    ...tableOf(
      "behind",
      `from the storing of B's ten events, behind ${count.toLocaleString("en")} of A, to their end`,
      "ms",
      [
        "handled",
      ],
    ),
    rows,
    pairs: [{ row: "fair", against: "nothing" }, { row: "8 of each", against: "nothing" }],
    notes: ["2 nodes, 16 at once at each; an event takes 20 ms; each has a key of its own"],
  };
}

async function cost(stage: Stage, effort: Effort): Promise<Table> {
  const [count, tenants] = [effort.count(50_000, 20_000, 200), effort.count(10_000, 10_000, 50)];
  const variants: readonly Variant[] = ["nothing", "5 of each", "fair", "fair and 5 of each"];
  const cells = new Map(variants.map((variant) => [variant, [] as number[]]));
  for (let left = effort.rounds(5, 3); left > 0; left--) {
    for (const variant of variants) {
      const cluster = await Cluster.start(stage, 2, variant);
      const busy = async () => {
        const all = await Promise.all(cluster.nodes.map((node) => node.processor()));
        return all.reduce<number>((sum, each) => sum + (each ?? 0), 0);
      };
      const before = await busy();
      await cluster.publish({ count, tenants });
      await cluster.handled(count);
      cells.get(variant)!.push(1e6 * (await busy() - before) / count);
      await stage.clear();
    }
  }
  return {
    ...tableOf("cost", "what a message takes of the processors of two nodes", "ns", ["a message"]),
    rows: variants.map((name) => ({ name, cells: [cells.get(name)!] })),
    pairs: variants.slice(1).map((row) => ({ row, against: "nothing" })),
    notes: [
      `${count.toLocaleString("en")} messages of ${tenants.toLocaleString("en")} tenants in turn, which are the keys`,
    ],
  };
}

async function keys(stage: Stage, effort: Effort): Promise<Table> {
  const [count, tenants] = [effort.count(300_000, 50_000, 200), effort.count(100_000, 20_000, 100)];
  const cluster = await Cluster.start(stage, 2, "two by key");
  await cluster.publish({ count, tenants });
  const all = await cluster.handled(count);
  await stage.clear();
  return {
    ...tableOf("keys", `keys in memory, of ${tenants.toLocaleString("en")} that come in turn`, "count", ["keys"]),
    rows: [
      { name: "at most", cells: [[Math.max(...all.map(({ mostKeys }) => mostKeys))]] },
      { name: "at the end", cells: [[Math.max(...all.map(({ keys }) => keys))]] },
    ],
    notes: [`${count.toLocaleString("en")} messages, 2 nodes; the leader was asked each 20 ms`],
  };
}

async function slots(stage: Stage, effort: Effort): Promise<Table> {
  const count = effort.count(2_000, 1_000, 50);
  const [gaps, trips]: number[][] = [[], []];
  for (let left = effort.rounds(3, 1); left > 0; left--) {
    const cluster = await Cluster.start(stage, 2, "one");
    trips.push(median(await cluster.client.ask<number[]>("roundTrips", count)));
    await cluster.publish({ count });
    const all = await cluster.handled(count);
    const runs = all.flatMap(({ runs }) => runs).sort((a, b) => a[0] - b[0]);
    gaps.push(median(runs.slice(1).map(([begun], i) => begun - runs[i][1])));
    await stage.clear();
  }
  return {
    ...tableOf("slot", "from the end of a run to the next one's beginning, with running: 1", "ms", ["median"]),
    rows: [{ name: "a slot is used again", cells: [gaps] }, { name: "a query to a node and back", cells: [trips] }],
    pairs: [{ row: "a slot is used again", against: "a query to a node and back" }],
    notes: ["2 nodes; handlers that return at once; the queries, one after the other, in the same run"],
  };
}

async function deaths(stage: Stage, effort: Effort): Promise<Table> {
  const took: { leader: number[]; node: number[] } = { leader: [], node: [] };
  for (const who of ["leader", "node"] as const) {
    for (let left = effort.rounds(3, 1); left > 0; left--) {
      const cluster = await Cluster.start(stage, 3, "twelve");
      await cluster.publish({ count: 40, ms: -1 });
      const running = async (of: readonly Program[]) => {
        const all = await Promise.all(of.map((node) => node.ask<Charging>("charging", "A")));
        return all.map(({ running, leads }) => ({ running, leads }));
      };
      const until = async (of: readonly Program[]) => {
        for (;; await wait(10)) {
          const all = await running(of);
          if (all.reduce((sum, each) => sum + each.running, 0) >= SLOTS) return all;
        }
      };
      const all = await until(cluster.nodes);
      const at = all.findIndex(({ leads, running }) => leads === (who === "leader") && running > 0);
      const killed = performance.now();
      await cluster.nodes[at].stop();
      await until(cluster.nodes.filter((_, i) => i !== at));
      took[who].push(performance.now() - killed);
      await stage.clear();
    }
  }
  return {
    ...tableOf("dead", "from a kill -9 to the moment when all twelve slots are used again", "ms", ["used again"]),
    rows: [{ name: "a node", cells: [took.node] }, { name: "the leader", cells: [took.leader] }],
    notes: ["3 nodes, running: 12, handlers that do not end"],
  };
}

async function beside(stage: Stage, effort: Effort): Promise<Table> {
  const count = effort.count(20_000, 5_000, 200);
  const name = "Catga, 5 of each of 100";
  const rates: number[] = [];
  for (let left = effort.rounds(3, 1); left > 0; left--) {
    const cluster = await Cluster.start(stage, 2, "5 of each");
    rates.push(await rateOf(cluster, count));
    await stage.clear();
  }
  const rows = [{ name, cells: [rates] }];
  const peer = effort.peers ? await pgBoss(stage, effort) : undefined;
  return {
    ...tableOf("beside", "messages a second, of each of 100 keys five at once, over two nodes", "per second", [
      "handled",
    ]),
    rows: peer === undefined ? rows : [...rows, { name: PG_BOSS, cells: [peer] }],
    pairs: [{ row: name, against: PG_BOSS }],
    notes: [
      `${
        count.toLocaleString("en")
      } messages; handlers that return at once; from before they are published to the last end`,
      "pg-boss: 2 nodes with 8 workers each that take 50 at a time, asked each 0.5 s, on a PostgreSQL that syncs",
      "BullMQ has limits of groups in its paid edition alone",
    ],
  };
}

/** Messages a second from before they are published until the last one is handled. */
async function rateOf(cluster: Cluster, count: number): Promise<number> {
  const began = performance.timeOrigin + performance.now();
  await cluster.publish({ count, tenants: 100 });
  const all = await cluster.handled(count);
  return 1_000 * count / (Math.max(...all.map(({ last }) => last)) - began);
}

async function pgBoss(stage: Stage, effort: Effort): Promise<number[] | undefined> {
  const found = findPostgres({ synced: true });
  if ("missing" in found) {
    stage.leaveOut(PG_BOSS, found.missing);
    return undefined;
  }
  if (!("Bun" in globalThis)) {
    stage.leaveOut(PG_BOSS, "Deno does not load its modules from where they are fetched: run it in Bun");
    return undefined;
  }
  const count = effort.count(5_000, 2_000, 200);
  return await stage.orLeaveOut(PG_BOSS, "peers/pgboss.ts", async () => {
    const client = await fetchOnce("pg-boss@12.38.0", "pg-boss");
    const rates: number[] = [];
    for (let left = effort.rounds(3, 1); left > 0; left--) {
      await using server = await found.open();
      const database = { socket: server.socket, client };
      rates.push(await rateOf(await Cluster.start(stage, 2, "nothing", { database }, "peers/pgboss.ts"), count));
      await stage.clear();
    }
    return rates;
  });
}
