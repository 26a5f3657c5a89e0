/**
 * `deno task soak`: a cluster of processes in both runtimes, whose clocks disagree, and some of whose commands block
 * their process, under random kills, freezes, cuts, restarts, joins and leaves, on a NATS server (or three) in a storm
 * of its own; a checker that compares the results of clients with the runs of handlers; and at the end, probes of what
 * works again, and a search for what outlived its ttl.
 *
 *   deno task soak --minutes 10              a seed is drawn, and printed
 *   deno task soak --minutes 10 --seed 42    the same faults as with that seed before, though not to the ms
 *   … --rate 10000                           sends a second
 *   … --every 1300                           ms between two blows to nodes, in the mean
 *   … --servers 3                            NATS servers: one, or three that replicate what they store
 *   … --server-every 9000                    ms between two blows to servers, in the mean; 0 for none
 *   … --messages-only                        no locks, leaders and idempotent commands, and none that never settle
 *   … --plant lost                           with a bug for the checker to find: lost, twice, forever or bounce
 *   … --keep                                 keeps the log in any case
 *
 * The exit code is 1 when a promise was broken; the log is kept then.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import type { Plant } from "./node.ts";
import { positive } from "./positive.ts";
import { progressLine, reportText } from "./report.ts";
import { soak } from "./run.ts";
import { plantedTree, type SourcePlant, sourcePlants } from "../processes/planted_tree.ts";

const USAGE = "usage: deno task soak [--minutes N] [--seed S] [--rate N] [--every MS] [--servers 1|3] " +
  "[--server-every MS] [--messages-only] [--plant lost|twice|forever|bounce] [--keep]";
const PLANTS = ["lost", "twice"];

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // the processes of the cluster end with this one, and so does its folder
  process.once(signal, () => process.exit(130));
}

const { minutes, seed, rate, every, servers, serverEvery, state, plant, keep } = readArguments();
console.log(`soak of ${minutes} minutes, seed ${seed}`);
const tree = sourcePlants.includes(plant as SourcePlant) ? await plantedTree(plant as SourcePlant) : undefined;
const report = await soak({
  seconds: minutes * 60,
  seed,
  rate,
  every,
  nodes: [5, 6],
  clients: 2,
  servers,
  serverEvery,
  state,
  blocked: true,
  root: tree?.root,
  plant: tree === undefined ? plant as Plant | undefined : undefined,
  keep,
  onProgress: (progress) => console.log(progressLine(progress)),
});
console.log(reportText(report));
await tree?.[Symbol.asyncDispose]();
process.exit(report.violations.length > 0 ? 1 : 0);

function readArguments() {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      options: {
        minutes: text,
        seed: text,
        rate: text,
        every: text,
        servers: text,
        "server-every": text,
        "messages-only": { type: "boolean" },
        plant: text,
        keep: { type: "boolean" },
      },
    });
    const { plant, servers = "1" } = values;
    if (plant !== undefined && ![...PLANTS, ...sourcePlants].includes(plant)) throw new Error(plant);
    if (servers !== "1" && servers !== "3") throw new Error(`one server or three; got ${servers}`);
    const serverEvery = values["server-every"] ?? "9000";
    return {
      minutes: positive(values.minutes ?? "1"),
      seed: Math.round(positive(values.seed ?? String(1 + Math.floor(Math.random() * 1e9)))),
      rate: positive(values.rate ?? "10000"),
      every: positive(values.every ?? "1300"),
      servers: Number(servers) as 1 | 3, // checked above
      serverEvery: serverEvery === "0" ? Infinity : positive(serverEvery),
      state: !values["messages-only"],
      plant,
      keep: values.keep ?? false,
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}
