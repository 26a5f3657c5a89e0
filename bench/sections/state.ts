/**
 * What nodes share: a lock, an idempotent command and the cache, each against the operations of JetStream KV that it
 * takes.
 */
import { alternate } from "../rounds.ts";
import { overOf, overRaw } from "./contestants.ts";
import type { Measure } from "./section.ts";

const PAIRS = [
  { row: "lock and release", against: "KV create, delete" },
  { row: "idempotent command", against: "KV create, update" },
  { row: "cache set and get", against: "KV put, get" },
];

/** Measures shared state. */
export const state: Measure = async (stage, effort) => {
  await stage.clear();
  const { url, transports, rawTransports } = stage;
  const programs = await Promise.all(transports.map(async (transport) => {
    const raw = rawTransports.includes(transport) ? transport : rawTransports[0];
    return { transport, raw, program: await stage.start("programs/state.ts", [url, transport, raw]) };
  }));
  const count = effort.count(100, 50);
  const players = PAIRS.flatMap(({ row, against }) => [
    ...rawTransports.map((transport) => ({
      ...programs.find(({ raw }) => raw === transport)!,
      ...{ name: `${against}${overOf(transport, rawTransports)}`, operation: against },
    })),
    ...programs.map((one) => ({ ...one, name: `${row}${overOf(one.transport, transports)}`, operation: row })),
  ]).map(({ name, operation, program }) => ({
    name,
    play: () => program.ask<number>("time", { operation, count }),
  }));
  await alternate(players, effort.warm(1));
  const times = await alternate(players, effort.rounds(9, 3));
  await stage.clear();
  return [{
    id: "state",
    title: "Shared state: one operation after another",
    unit: "ms",
    columns: ["one"],
    rows: [...times].map(([name, rounds]) => ({ name, cells: [rounds] })),
    pairs: PAIRS.flatMap(({ row, against }) =>
      transports.map((transport) => ({
        row: `${row}${overOf(transport, transports)}`,
        against: `${against}${overRaw(transport, stage)}`,
      }))
    ),
    notes: ["KV …: the operations of JetStream KV that the one below it consists of, done raw"],
  }];
};
