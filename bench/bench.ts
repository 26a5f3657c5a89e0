/**
 * `deno task bench`, or `bun run bench`: how fast Catga is, beside nats.js, beside what is written by hand, and beside
 * its peers. {@link USAGE} says what it can be asked for.
 *
 * @module
 */
import { stat } from "node:fs/promises";
import process from "node:process";
import { parseArguments, type Section, USAGE, type Wanted } from "./arguments.ts";
import { asPublished } from "./as_published.ts";
import { writeDocs } from "./docs.ts";
import { markdownOf, textOf } from "./report.ts";
import { Company } from "./sections/contestants.ts";
import { types } from "./sections/compiling.ts";
import { answers } from "./sections/answers.ts";
import { check } from "./sections/check.ts";
import { counts } from "./sections/counts.ts";
import { edge } from "./sections/edge.ts";
import { entities } from "./sections/entities.ts";
import { entitiesEndurance } from "./sections/entities_endurance.ts";
import { entitiesGrowth } from "./sections/entities_growth.ts";
import { explore } from "./sections/explore.ts";
import { file } from "./sections/file.ts";
import { events } from "./sections/events.ts";
import { growth } from "./sections/growth.ts";
import { growthNodes } from "./sections/growth_nodes.ts";
import { latency } from "./sections/latency.ts";
import { local } from "./sections/local.ts";
import { log } from "./sections/log.ts";
import { limits } from "./sections/limits.ts";
import { masses } from "./sections/masses.ts";
import { memory } from "./sections/memory.ts";
import { packages } from "./sections/packages.ts";
import { remote } from "./sections/remote.ts";
import { effortOf, type Measure } from "./sections/section.ts";
import { startup } from "./sections/startup.ts";
import { workflows, workflowsGrowth } from "./sections/workflows.ts";
import { state } from "./sections/state.ts";
import { streams } from "./sections/streams.ts";
import { manyNodes } from "./sections/many_nodes.ts";
import { weeks } from "./sections/weeks.ts";
import { compareTrees } from "./side_by_side.ts";
import { Stage } from "./stage.ts";
import { changesOf, readRun, type Run, writeRun } from "./run.ts";
import { drawPictures } from "./picture.ts";

const MEASURES: Readonly<Record<Section, Measure>> = {
  local,
  edge,
  remote,
  latency,
  events,
  streams,
  startup,
  memory,
  state,
  log,
  entities,
  workflows,
  growth,
  "growth-nodes": growthNodes,
  "entities-growth": entitiesGrowth,
  "entities-endurance": entitiesEndurance,
  "workflows-growth": workflowsGrowth,
  answers,
  check,
  explore,
  file,
  limits,
  masses,
  weeks,
  "many-nodes": manyNodes,
  counts,
  types,
  packages,
};

const args = process.argv.slice(2);
if (args.includes("--help")) {
  console.log(USAGE);
} else {
  const wanted = understood(args);
  if (wanted === undefined) process.exitCode = 2;
  else process.exitCode = await asPublished(wanted, args) ?? await run(wanted);
}

/** Measures, or compares two trees; gives the code to end with. */
async function run(wanted: Wanted): Promise<number> {
  const { compare } = wanted;
  const isTree = compare !== undefined && (await stat(compare)).isDirectory();
  return isTree ? await compareTrees(compare, wanted) : await bench(wanted);
}

/** What the arguments ask for; says what is wrong with them when they ask for nothing that there is. */
function understood(args: readonly string[]): Wanted | undefined {
  try {
    return parseArguments(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return undefined;
  }
}

/** Measures what was asked for and prints it; gives the code to end with. */
async function bench(wanted: Wanted): Promise<number> {
  const started = performance.now();
  const before = wanted.compare === undefined ? undefined : await readRun(wanted.compare);
  await using stage = await Stage.open(wanted);
  const run: Run = { version: 1, date: new Date().toISOString(), setting: stage.setting, tables: [] };
  const { runtime, machine, natsServer, transports } = stage.setting;
  console.log(`${runtime}, nats-server ${natsServer}, ${transports}; ${machine}`);
  console.log("each figure: the median of the rounds, ± half of the distance between the lowest and the highest one\n");
  if (stage.withoutPeers !== undefined) console.log(`without peers: ${stage.withoutPeers}\n`);
  const company = new Company(stage);
  const effort = effortOf(wanted, stage.withoutPeers === undefined);
  for (const section of wanted.sections) {
    for (const table of await MEASURES[section](stage, effort, company)) {
      run.tables.push(table);
      console.log(`${wanted.markdown ? markdownOf(table) : textOf(table)}\n`);
    }
  }
  const refuted = run.tables.flatMap(({ refuted = [] }) => refuted);
  for (const claim of refuted) console.log(`REFUTED: ${claim}\n`);
  for (const peer of stage.leftOut) console.log(`left out: ${peer}\n`);
  console.log(`${((performance.now() - started) / 1_000).toFixed(0)} s\n`);
  if (before !== undefined) console.log(`${changesOf(before, run)}\n`);
  if (wanted.json !== undefined) await writeRun(wanted.json, run);
  if (wanted.docs !== undefined) await writeDocs(wanted.docs, run);
  if (wanted.svg !== undefined) await drawPictures(wanted.svg, run);
  return refuted.length === 0 ? 0 : 1;
}
