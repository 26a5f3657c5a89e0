/**
 * `deno task bench`, or `bun run bench`: how fast Catga is, beside nats.js, beside what is written by hand, and beside its
 * peers. {@link USAGE} says what it can be asked for.
 *
 * @module
 */
import process from "node:process";
import { parseArguments, type Section, USAGE, type Wanted } from "./arguments.ts";
import { markdownOf, textOf } from "./report.ts";
import { local } from "./sections/local.ts";
import { remote } from "./sections/remote.ts";
import { effortOf, type Measure } from "./sections/section.ts";
import { state } from "./sections/state.ts";
import { Stage } from "./stage.ts";

const MEASURES: Partial<Record<Section, Measure>> = { local, remote, state };

/** Measures what was asked for and prints it. */
async function run(wanted: Wanted): Promise<void> {
  await using stage = await Stage.open(wanted);
  const { runtime, machine, natsServer, transports } = stage.setting;
  console.log(`${runtime}, nats-server ${natsServer}, ${transports}; ${machine}`);
  console.log("median of the rounds, ± half of the distance between the lowest and the highest\n");
  const effort = effortOf(wanted, stage.withoutPeers === undefined);
  for (const section of wanted.sections) {
    for (const table of await MEASURES[section]?.(stage, effort) ?? []) {
      console.log(`${wanted.markdown ? markdownOf(table) : textOf(table)}\n`);
    }
  }
}

if (process.argv.slice(2).includes("--help")) console.log(USAGE);
else await run(parseArguments(process.argv.slice(2)));
