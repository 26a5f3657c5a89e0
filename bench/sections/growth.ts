/** What becomes of the figures as a cluster grows: in contracts, payloads and requests under way. */
import type { Program } from "../program.ts";
import type { Stage } from "../stage.ts";
import type { Rounds } from "../statistics.ts";
import type { Table } from "../table.ts";
import type { Effort, Measure } from "./section.ts";

const CONTRACTS = [1, 10, 100, 1_000];
const LENGTHS = [100, 1_000, 10_000, 100_000, 900_000];
const OUTSTANDING = [1, 10, 100, 1_000, 10_000];

/** Measures growth: some minutes, so it runs only when it is asked for. */
export const growth: Measure = async (stage, effort) => {
  const tables = [...await ofContracts(stage, effort), ...await ofRequests(stage, effort)];
  await stage.clear();
  return tables;
};

/** What was measured of one cluster. */
interface Grown {
  readonly joined: Rounds;
  readonly seen: Rounds;
  readonly idle: { readonly heard: number; readonly said: number; readonly bytes: number; readonly record: number };
  /** Of its process, in MB. */
  readonly resident: number;
}

async function measure(cluster: Program, kind: object, nodes: number, effort: Effort): Promise<Grown> {
  await cluster.ask("grow", { ...kind, nodes });
  const joins: { joined: number; seen: number }[] = [];
  for (let round = effort.rounds(7, 3); round > 0; round--) joins.push(await cluster.ask("join", kind));
  const idle = await cluster.ask<Grown["idle"]>("idle", { ms: effort.ms(10_000, 1_000) });
  return {
    joined: joins.map(({ joined }) => joined),
    seen: joins.map(({ seen }) => seen),
    idle,
    resident: await cluster.megabytes(),
  };
}

async function ofContracts(stage: Stage, effort: Effort): Promise<Table[]> {
  const grown: Grown[] = [];
  const residents: number[] = [];
  for (const contracts of CONTRACTS) {
    const cluster = await stage.start("programs/growth.ts", ["nodes", stage.url]);
    const empty = await cluster.megabytes();
    grown.push(await measure(cluster, { namespace: `growth-contracts-${contracts}`, contracts }, TEN, effort));
    residents.push((grown.at(-1)!.resident - empty) / TEN);
    await stage.clear();
  }
  const table = { columns: CONTRACTS.map((contracts) => `${contracts.toLocaleString("en")}`), pairs: [] };
  return [
    {
      ...table,
      id: "growth-contracts",
      title: "Growth in contracts, ten nodes that handle all of them: the last one joins",
      unit: "ms",
      rows: [
        { name: "catga()", cells: grown.map(({ joined }) => joined) },
        { name: "catga(), and every node knows of it", cells: grown.map(({ seen }) => seen) },
      ],
      notes: ["all nodes in one process, so that a figure holds the work of all"],
    },
    {
      ...table,
      id: "growth-contracts-record",
      title: "Growth in contracts: a node's record, and what an idle node of ten hears in a second",
      unit: "bytes",
      rows: [
        { name: "record", cells: grown.map(({ idle }) => [idle.record]) },
        { name: "heard", cells: grown.map(({ idle }) => [idle.bytes]) },
      ],
      notes: ["a record names every contract, and is written anew every 10 s"],
    },
    {
      ...table,
      id: "growth-contracts-memory",
      title: "Growth in contracts: resident memory for each of ten nodes",
      unit: "MB",
      rows: [{ name: "its connection included", cells: residents.map((resident) => [resident]) }],
      notes: [],
    },
  ];
}

const TEN = 10;

async function ofRequests(stage: Stage, effort: Effort): Promise<Table[]> {
  const namespace = "growth-requests";
  const cluster = await stage.start("programs/growth.ts", ["nodes", stage.url]);
  const sender = await stage.start("programs/growth.ts", ["send", stage.url]);
  await cluster.ask("grow", { namespace, contracts: 1, nodes: 1 });
  await sender.ask("meet", { namespace, nodes: 1 });
  const sized: number[][] = [];
  for (const length of LENGTHS) sized.push(await repeat(sender, { outstanding: 16, length }, effort));
  const crowded: number[][] = [];
  for (const outstanding of OUTSTANDING) crowded.push(await repeat(sender, { outstanding, length: 10 }, effort));
  return [
    {
      id: "growth-payloads",
      title: "Growth in payloads: requests to one node, 16 under way",
      unit: "per second",
      columns: LENGTHS.map((length) => length < 1_000 ? `${length} B` : `${length / 1_000} kB`),
      rows: [{ name: "send", cells: sized }],
      pairs: [],
      notes: ["the answer is a number"],
    },
    {
      id: "growth-outstanding",
      title: "Growth in requests under way, to one node",
      unit: "per second",
      columns: OUTSTANDING.map((outstanding) => outstanding.toLocaleString("en")),
      rows: [{ name: "send", cells: crowded }],
      pairs: [],
      notes: [],
    },
  ];
}

/** Requests per second, round by round, after one that does not count. */
async function repeat(sender: Program, load: object, effort: Effort): Promise<number[]> {
  const ms = effort.ms(500, 100);
  const rates: number[] = [];
  for (let round = effort.rounds(5, 2); round >= 0; round--) {
    rates.push(await sender.ask<number>("send", { ...load, ms }));
  }
  return rates.slice(1);
}
