/**
 * `deno task soak`: a cluster of processes in both runtimes under random kills, freezes, restarts, joins and leaves, and a
 * checker that lays what clients were told beside what handlers wrote down.
 *
 *   deno task soak --minutes 10              a seed is drawn, and printed
 *   deno task soak --minutes 10 --seed 42    what happens to whom as with that seed before; when exactly, processes decide
 *   … --rate 10000                           sends a second
 *   … --every 1300                           ms between two blows, in the mean
 *   … --plant lost                           with a bug for the checker to find: lost or twice
 *   … --keep                                 keeps the log in any case
 *
 * The exit code is 1 when a promise was broken; the log is kept then.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import type { Plant } from "./soak/node.ts";
import { progressLine, reportText } from "./soak/report.ts";
import { soak } from "./soak/soak.ts";

const USAGE = "usage: deno task soak [--minutes N] [--seed S] [--rate N] [--every MS] [--plant lost|twice] [--keep]";

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // the processes of the cluster end with this one, and so does its folder
  process.once(signal, () => process.exit(130));
}

const { minutes, seed, rate, every, plant, keep } = readArguments();
console.log(`soak of ${minutes} minutes, seed ${seed}`);
const report = await soak({
  seconds: minutes * 60,
  seed,
  rate,
  every,
  nodes: [5, 6],
  clients: 2,
  plant,
  keep,
  onProgress: (progress) => console.log(progressLine(progress)),
});
console.log(reportText(report));
process.exit(report.violations.length > 0 ? 1 : 0);

function readArguments() {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      options: { minutes: text, seed: text, rate: text, every: text, plant: text, keep: { type: "boolean" } },
    });
    if (values.plant !== undefined && !["lost", "twice"].includes(values.plant)) throw new Error(values.plant);
    return {
      minutes: positive(values.minutes ?? "1"),
      seed: Math.round(positive(values.seed ?? String(1 + Math.floor(Math.random() * 1e9)))),
      rate: positive(values.rate ?? "10000"),
      every: positive(values.every ?? "1300"),
      plant: values.plant as Plant | undefined, // checked above
      keep: values.keep ?? false,
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  throw new Error(`a number above 0 is wanted; got ${text}`);
}
