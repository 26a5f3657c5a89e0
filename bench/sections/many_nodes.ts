/**
 * 1,000 real nodes, or as many as there are rounds, in ten processes at one server: what each takes, and how soon all
 * know of a join and of a death.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { startNatsServer } from "../../tools/nats_server.ts";
import type { Program } from "../program.ts";
import type { Measure } from "./section.ts";

const run = promisify(execFile);
const PROCESSES = 10;
/** How many nodes a process starts in one task. */
const PART = 10;
/** Limit of a task in ms: a thousand nodes prove each other when they start, a minute of processor and more. */
const PATIENCE = 1_800_000;
/** Two for each process. */
const LEAST = 20;
/** How often one joins, and dies. */
const TIMES = 5;

/** Figures of a node that has nothing to do, in a second. */
interface Idle {
  readonly heard: number;
  readonly said: number;
  readonly bytes: number;
  readonly processor: number;
}

/** Measures many nodes: ten minutes, so it runs only when it is asked for. */
export const manyNodes: Measure = async (stage, effort) => {
  const total = Math.max(LEAST, effort.rounds(1_000, 200));
  const times = effort.count(TIMES, 2, 1);
  await using server = await startNatsServer();
  const namespace = stage.nextGroup();
  const begin = () => stage.start("programs/growth_nodes.ts", ["real", server.url]);
  const programs: Program[] = [];
  for (let i = 0; i < PROCESSES; i++) programs.push(await begin());
  const empty = await resident(programs[0].pid);
  const emptyServer = await resident(server.pid);
  const share = (total - 1) / PROCESSES;
  const shares = programs.map((_, at) => Math.floor(share * (at + 1)) - Math.floor(share * at));
  const began = performance.now();
  const processorBefore = await processorOf(programs, server.pid);
  let repeats = 0;
  // some at a time: each proves all that are there
  for (let some = 0; some < Math.max(...shares); some += PART) {
    for (const [at, program] of programs.entries()) {
      const nodes = Math.min(PART, shares[at] - some);
      if (nodes > 0) repeats += await program.ask<number>("start", { namespace, nodes, again: 20 }, PATIENCE);
    }
  }
  await allSee(programs, total - 1);
  const start = performance.now() - began;
  const atStart = (await processorOf(programs, server.pid)).map((ms, at) => ms - processorBefore[at]);
  // all have written their records once more by then, for the size that the cluster has now
  await new Promise((resolve) => setTimeout(resolve, effort.ms(15_000, 15_000)));
  const ms = effort.ms(60_000, 10_000);
  const before = await processorOf(programs, server.pid);
  const [idle] = await Promise.all(programs.slice(0, 1).map((program) => program.ask<Idle>("idle", { ms }, PATIENCE)));
  const rested = (await processorOf(programs, server.pid)).map((after, at) => (after - before[at]) / ms * 1_000);
  const memory = (await resident(programs[0].pid) - empty) / shares[0];
  const memoryOfServer = await resident(server.pid) - emptyServer;
  const [joined, known]: number[][] = [[], []];
  for (let time = 0; time < times; time++) {
    const mortal = await begin();
    const joins = performance.now();
    await mortal.ask("start", { namespace, nodes: 1 }, PATIENCE);
    await allSee(programs, total);
    joined.push(performance.now() - joins);
    const dies = performance.now();
    await mortal.stop();
    await allSee(programs, total - 1);
    known.push(performance.now() - dies);
  }
  await stage.clear();
  const table = { columns: [`${total}`], pairs: [] };
  return [{
    ...{ ...table, id: "many-nodes", title: "Many real nodes: starts, joins and deaths", unit: "ms" },
    rows: [
      { name: "from the start of the first until all see all", cells: [[start]] },
      { name: "from a join until every node knows", cells: [joined] },
      { name: "from a death until every node knows", cells: [known] },
      { name: "processor of a node, for the start", cells: [[atStart[0] / (total - 1)]] },
      { name: "processor of the server, for the start", cells: [[atStart[1]]] },
    ],
    notes: [
      "each node has 100 contracts and a connection of its own; ten processes on the same cores as their server",
      `one after the other starts; starts that failed and were tried again: ${repeats}`,
      `a join and a death ${times} times; a node that dies has a process of its own, whose start is in the join`,
    ],
  }, {
    ...{ ...table, id: "many-nodes-idle", title: "Many real nodes: nothing to do, in a second", unit: "count" },
    rows: [
      { name: "messages that a node hears", cells: [[idle.heard]] },
      { name: "messages that a node says", cells: [[idle.said]] },
      { name: "bytes that a node hears", cells: [[idle.bytes]] },
      { name: "µs of processor of a node", cells: [[rested[0] / (total - 1) * 1_000]] },
      { name: "ms of processor of the server", cells: [[rested[1]]] },
    ],
    notes: [`over ${ms / 1_000} s; messages are those of the first node`],
  }, {
    ...{ ...table, id: "many-nodes-memory", title: "Many real nodes: resident memory", unit: "MB" },
    rows: [
      { name: "a node, its connection included", cells: [[memory]] },
      { name: "the server, for all of them", cells: [[memoryOfServer]] },
    ],
    notes: [`${shares[0]} nodes in a process share what they load`],
  }];
};

/** Waits until the nodes of all programs see so many. */
async function allSee(programs: readonly Program[], total: number): Promise<void> {
  const began = performance.now();
  await Promise.all(programs.map(async (program) => {
    while (!await program.ask<boolean>("see", { total }, PATIENCE)) {
      if (performance.now() - began > PATIENCE) throw new Error(`${total} nodes do not see each other`);
    }
  }));
}

/** Memory of a process in MB, as the system sees it. */
async function resident(pid: number): Promise<number> {
  const { stdout } = await run("ps", ["-o", "rss=", "-p", `${pid}`]);
  return Number(stdout) * 1_024 / 1e6;
}

/** Processor that all programs have taken, and that of a server, in ms. */
async function processorOf(programs: readonly Program[], server: number): Promise<[programs: number, server: number]> {
  const tick = 1_000 / Number((await run("getconf", ["CLK_TCK"])).stdout);
  const of = async (pid: number) => {
    const stat = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1].split(" ");
    return (Number(stat[11]) + Number(stat[12])) * tick;
  };
  const all = await Promise.all(programs.map(({ pid }) => of(pid)));
  return [all.reduce((sum, ms) => sum + ms, 0), await of(server)];
}
