/**
 * What nodes share: a lock, an idempotent command and the cache, each against the operations of JetStream KV that it
 * takes.
 */
import { alternate } from "../rounds.ts";
import type { Measure } from "./section.ts";

const PAIRS = [
  { row: "lock and release", against: "KV create, delete" },
  { row: "idempotent command", against: "KV create, update" },
  { row: "cache set and get", against: "KV put, get" },
];

/** Measures shared state. */
export const state: Measure = async (stage, effort) => {
  await stage.clear();
  const program = await stage.start("programs/state.ts", [stage.url]);
  const count = effort.count(100, 50);
  const players = PAIRS.flatMap(({ row, against }) => [against, row]).map((operation) => ({
    name: operation,
    play: () => program.ask<number>("time", { operation, count }),
  }));
  await alternate(players, 1);
  const times = await alternate(players, effort.rounds(9, 3));
  await stage.clear();
  return [{
    id: "state",
    title: "Shared state: one operation after another",
    unit: "ms",
    columns: ["one"],
    rows: [...times].map(([name, rounds]) => ({ name, cells: [rounds] })),
    pairs: PAIRS,
    notes: ["KV …: the operations of JetStream KV that the one below it consists of, done raw"],
  }];
};
