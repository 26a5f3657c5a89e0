/** How long one request takes: alone, and among 10,000 a second. */
import type { Closed, Latencies } from "../programs/load.ts";
import { alternate, type Player } from "../rounds.ts";
import type { Row, Table } from "../table.ts";
import { ours, pairsOf, PEERS, type Running } from "./contestants.ts";
import type { Measure } from "./section.ts";

const RATE = 10_000;

/** Measures latencies. */
export const latency: Measure = async (stage, effort, company) => {
  const players = await company.engage([...ours(stage), ...effort.peers ? PEERS : []]);
  const alone = players.map(playing("closed", { outstanding: 1, ms: effort.ms(250, 60) }));
  const among = players.map(playing("open", { rate: RATE, ms: effort.ms(300, 60) }));
  await alternate(among, effort.warm(1));
  const single = await alternate(alone, effort.rounds(9, 3));
  await alternate(among, effort.warm(1));
  const open = await alternate(among, effort.rounds(5, 3));
  const common = { unit: "ms", columns: ["p50", "p99", "p99.9"], pairs: pairsOf(players) } as const;
  const tables: Table[] = [
    { id: "latency", title: "Latency: one request at a time", rows: rowsOf(single), notes: [], ...common },
    {
      id: "latency-open",
      title: `Latency: ${RATE.toLocaleString("en")} requests a second, whatever comes back`,
      rows: rowsOf(open),
      notes: ["sent in batches by a timer of 1 ms, each timed from when it was sent"],
      ...common,
    },
  ];
  return tables;
};

function playing(task: string, options: unknown): (running: Running) => Player<Closed | Latencies> {
  return ({ name, client, drop }) => ({ name, play: () => client.ask(task, options), drop });
}

function rowsOf(outcomes: ReadonlyMap<string, readonly Partial<Latencies>[]>): Row[] {
  return [...outcomes].map(([name, rounds]) => ({
    name,
    cells: (["p50", "p99", "p999"] as const).map((part) => rounds.map((round) => round[part] ?? NaN)),
  }));
}
