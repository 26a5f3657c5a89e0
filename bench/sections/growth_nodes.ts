/** What becomes of a cluster as it grows: of real nodes in a few processes, and of simulated ones on virtual time. */
import type { Program } from "../program.ts";
import type { Stage } from "../stage.ts";
import type { Effort, Measure } from "./section.ts";

/** Real nodes, in so many processes beside that of the one that dies. */
const REAL = [10, 100, 200];
const PROCESSES = 4;
/** How many nodes a process starts in one task. */
const PART = 10;
const SIMULATED = [10, 100, 200];
/** Time for a task of a simulation, in ms: one of 200 nodes takes a minute on a busy machine. */
const PATIENCE = 600_000;

/** Figures of a node that has nothing to do, in a second; `processor` in ms. */
interface Idle {
  readonly heard: number;
  readonly said: number;
  readonly bytes: number;
  readonly processor: number;
}

/** Figures of one cluster: `resident` in MB a node, the others in ms. */
interface Grown extends Idle {
  /** Of each that joins. */
  readonly joined: readonly number[];
  /** Of each death. */
  readonly known: readonly number[];
  /** Of each node that was frozen, and of each that heard nothing; none in a real cluster. */
  readonly frozen: readonly number[];
  readonly deaf: readonly number[];
  readonly resident: number;
}

/** Measures clusters of nodes with 100 contracts each: some minutes, so it runs only when it is asked for. */
export const growthNodes: Measure = async (stage, effort) => {
  const count = effort.count(REAL.length, REAL.length, 1);
  // a trial has the smallest cluster, floors have the largest one
  const some = (all: readonly number[]) => effort.floors && count > 1 ? all.slice(-1) : all.slice(0, count);
  const sizes = { real: some(REAL), simulated: some(SIMULATED) };
  // so many die, one after the other, so many are frozen, and so many hear nothing
  const faults = effort.count(effort.floors ? 10 : 20, 10, 2);
  const columns = [
    ...sizes.real.map((nodes) => `${nodes}`),
    ...sizes.simulated.map((nodes) => `${nodes}, simulated`),
  ];
  const grown: Grown[] = [];
  for (const nodes of sizes.real) grown.push(await real(stage, effort, nodes, faults));
  for (const nodes of sizes.simulated) grown.push(await simulated(stage, nodes, faults));
  const of = (figure: keyof Grown) => grown.map((cluster) => [cluster[figure]].flat());
  const table = { columns, pairs: [] };
  return [
    {
      ...{ ...table, id: "growth-nodes", title: "Growth in nodes: the last one joins, another one fails", unit: "ms" },
      rows: [
        { name: "from the join until every node knows", cells: of("joined") },
        { name: "from a death until every node knows", cells: of("known") },
        { name: "from a freeze until one prefers others", cells: of("frozen") },
        { name: "from when a node hears nothing until one prefers others", cells: of("deaf") },
      ],
      notes: [
        "each node has 100 contracts; real ones are in four processes on the same cores as their server",
        "simulated ones are in one process on virtual time, and messages take up to 5 ms each way",
        `each fault ${faults} times; a real node that dies has a process of its own`,
      ],
    },
    {
      ...{
        ...table,
        id: "growth-nodes-traffic",
        title: "Growth in nodes: messages of one that has nothing to do, in a second",
        unit: "count",
      },
      rows: [
        { name: "messages heard", cells: of("heard") },
        { name: "messages said", cells: of("said") },
        { name: "both", cells: grown.map(({ heard, said }) => [heard + said]) },
      ],
      notes: [
        "pings and their answers, heartbeats of the store, and the records of the others",
        "real ones: in the 10 s after the start, in which each writes its record once more; simulated ones: for as long as a record stands",
      ],
    },
    {
      ...{
        ...table,
        id: "growth-nodes-bytes",
        title: "Growth in nodes: bytes that one hears in a second",
        unit: "bytes",
      },
      rows: [{ name: "heard", cells: of("bytes") }],
      notes: [],
    },
    {
      ...{ ...table, id: "growth-nodes-processor", title: "Growth in nodes: processor of one in a second", unit: "ms" },
      rows: [{ name: "nothing to do", cells: of("processor") }],
      notes: ["simulated: with all that a server would do"],
    },
    {
      ...{ ...table, id: "growth-nodes-memory", title: "Growth in nodes: resident memory for each", unit: "MB" },
      rows: [{ name: "its connection included", cells: of("resident") }],
      notes: ["nodes in one process share what they load, but not what they know of others"],
    },
  ];
};

async function simulated(stage: Stage, nodes: number, faults: number): Promise<Grown> {
  const program = await stage.start("programs/growth_nodes.ts", ["simulated"]);
  const ask = <T>(task: string, options?: object) => program.ask<T>(task, options, PATIENCE);
  const empty = await program.megabytes();
  await ask("populate", { nodes: nodes - 1 });
  const joined = await ask<number>("join");
  const idle = await ask<Idle>("rest");
  const resident = (await program.megabytes() - empty) / nodes;
  const known = await ask<number[]>("die", { times: faults });
  const frozen = await ask<number[]>("fall", { times: faults, how: "frozen" });
  const deaf = await ask<number[]>("fall", { times: faults, how: "deaf" });
  await stage.clear();
  return { ...idle, joined: [joined], known, frozen, deaf, resident };
}

async function real(stage: Stage, effort: Effort, nodes: number, faults: number): Promise<Grown> {
  const namespace = `growth-nodes-${nodes}`;
  const begin = () => stage.start("programs/growth_nodes.ts", ["real", stage.url]);
  const programs: Program[] = [];
  for (let i = 0; i < PROCESSES; i++) programs.push(await begin());
  const empty = await programs[0].megabytes();
  const share = (at: number) => Math.floor((nodes - 1 + at) / PROCESSES);
  // by parts, for a task has to end within a minute
  await Promise.all(programs.map(async (program, at) => {
    for (let left = share(at); left > 0; left -= PART) {
      await program.ask("start", { namespace, nodes: Math.min(PART, left) });
    }
  }));
  await allSee(programs, nodes - 1);
  const [joined, known]: number[][] = [[], []];
  const join = async () => {
    const mortal = await begin();
    const began = performance.now();
    await mortal.ask("start", { namespace, nodes: 1 });
    await allSee(programs, nodes);
    joined.push(performance.now() - began);
    return mortal;
  };
  const die = async (mortal: Program) => {
    const died = performance.now();
    await mortal.stop();
    await allSee(programs, nodes - 1);
    known.push(performance.now() - died);
  };
  const first = await join();
  const idle = await programs[0].ask<Idle>("idle", { ms: effort.ms(10_000, 10_000) });
  const resident = (await programs[0].megabytes() - empty) / share(0);
  await die(first);
  while (known.length < faults) {
    const mortal = await join();
    // a death is noticed after one to two pauses between pings: deaths meet all moments between two of them
    await new Promise((resolve) => setTimeout(resolve, known.length * 370 % 1_000));
    await die(mortal);
  }
  await stage.clear();
  return { ...idle, joined, known, frozen: [], deaf: [], resident };
}

async function allSee(programs: readonly Program[], total: number): Promise<void> {
  await Promise.all(programs.map(async (program) => {
    for (let tries = 0; !await program.ask<boolean>("see", { total }); tries++) {
      if (tries === 12) throw new Error(`${total} nodes do not see each other`);
    }
  }));
}
