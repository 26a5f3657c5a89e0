/**
 * `deno task soak:log`: a soak of the log, see `log_storm.ts`.
 *
 *   deno task soak:log                                    a million events, 100 kills; a seed is drawn, and printed
 *   deno task soak:log --events 100000 --kills 20 --seed 42
 *   … --rate 3000                                         events a second
 *   … --down 60                                           seconds for which all nodes are away, half-way
 *   … --server-kills 20                                   three servers, one of which at a time is killed so often
 *   … --plant log-open                                    with a bug in the library, for the checker to find
 *
 * The exit code is 1 when a promise was broken.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { type SourcePlant, sourcePlants } from "../processes/planted_tree.ts";
import { soakLog } from "./log_storm.ts";
import { positive } from "./positive.ts";

const USAGE =
  "usage: deno task soak:log [--events N] [--kills N] [--seed S] [--rate N] [--down SECONDS] [--server-kills N] [--plant NAME]";

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // the processes of the cluster end with this one
  process.once(signal, () => process.exit(130));
}

const options = readArguments();
const { events, kills, seed } = options;
console.log(`soak of the log: ${events} events, ${kills} kills, seed ${seed}`);
const { violations, sums, deeds, published, took } = await soakLog({ ...options, onProgress: console.log });
console.log(
  `${sums.ok} stored in ${Math.round(published / 1_000)} s, all handled after ${Math.round(took / 1_000)} s: ` +
    `${sums.runs} runs, ${sums.repeats} of them repeats; ${JSON.stringify(deeds)}`,
);
for (const violation of violations) console.log(`violation: ${violation}`);
console.log(violations.length === 0 ? "no violations" : `${violations.length} violations (20 are shown at most)`);
process.exit(violations.length > 0 ? 1 : 0);

function readArguments() {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      options: { events: text, kills: text, seed: text, rate: text, down: text, "server-kills": text, plant: text },
    });
    const { plant } = values;
    if (plant !== undefined && !sourcePlants.includes(plant as SourcePlant)) throw new Error(plant);
    return {
      events: positive(values.events ?? "1000000"),
      kills: positive(values.kills ?? "100"),
      seed: positive(values.seed ?? String(1 + Math.floor(Math.random() * 1e9))),
      rate: positive(values.rate ?? "3000"),
      down: 1_000 * positive(values.down ?? "60"),
      ...(values["server-kills"] === undefined ? {} : { serverKills: positive(values["server-kills"]) }),
      plant: plant as SourcePlant | undefined, // checked above
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}
