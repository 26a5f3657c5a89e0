/** What processes take while they wait, and how much memory while they answer as many requests as they can. */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { runtimeBinary } from "../../test/processes/node_process.ts";
import { bundled } from "../bundled.ts";
import { fromNpm, type Project } from "../from_npm.ts";
import type { TransportName } from "../arguments.ts";
import type { Stage } from "../stage.ts";
import type { Table } from "../table.ts";
import { ours, overOf, type Running } from "./contestants.ts";
import { BY_HAND, type Contestant, type Effort, type Measure } from "./section.ts";

/** Measures resident memory, and the processor of idle programs. */
export const memory: Measure = async (stage, effort, company) => {
  if (process.platform === "win32") return []; // there is no ps
  await stage.clear();
  const bun = await runtimeBinary("bun");
  await using bundle = await bundled(bun, "programs/idle_node.ts");
  await using npm = await fromNpm(bun);
  const all = idlers(stage, bundle.file, npm);
  // Deno compiles what it has not run before, which takes memory
  for (const { file, args, words } of all) await (await stage.start(file, args, words)).leave();
  const idle = await Promise.all(
    all.map(async ({ name, file, args, words }) => ({ name, program: await stage.start(file, args, words) })),
  );
  const settle = effort.ms(3_000, 300);
  const rounds = 5;
  const figures = idle.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    await pause(settle / rounds);
    for (const [at, { program }] of idle.entries()) figures[at].push(await program.megabytes());
  }
  await stage.clear();
  const players = await company.engage(ours(stage));
  const loaded: { name: string; peak: Peak }[] = [];
  for (const player of players) {
    loaded.push({ name: player.name, peak: await underLoad(player, effort.ms(2_000, 300)) });
  }
  await stage.clear();
  return [{
    id: "memory",
    title: "Memory: resident, idle and under load",
    unit: "MB",
    columns: ["resident"],
    rows: [
      ...idle.map(({ name }, at) => ({ name: `idle: ${name}`, cells: [figures[at]] })),
      ...loaded.flatMap(({ name, peak }) => [
        { name: `1,024 requests under way: ${name}, node`, cells: [[peak.node]] },
        { name: `1,024 requests under way: ${name}, client`, cells: [[peak.client]] },
      ]),
    ],
    pairs: [],
    notes: [
      "under load: the most that was seen of the node, and what the client has at the end; " +
      "idle: the difference to one NATS connection is what Catga costs",
      BY_HAND,
      "bundled: Catga and nats.js in few files, by bun build --minify --splitting; the difference is what files take; " +
      "from npm: JavaScript below node_modules, of which Deno reads nothing ahead",
    ],
  }, ...await processorOf(stage, effort)];
};

/** Who waits: nothing, a connection and a node over each transport, and a node of the bundle and of the project. */
function idlers(
  { url, transports, rawTransports }: Stage,
  bundle: string,
  npm: Project | undefined,
): (Contestant & { readonly words?: readonly string[] })[] {
  const file = "programs/idle_node.ts";
  return [
    ...withoutCatga(url, rawTransports),
    ...transports.map((transport) => ({
      name: `a node of Catga${overOf(transport, transports)}`,
      file,
      args: [url, transport],
    })),
    ...transports.map((transport) => ({
      name: `a node of Catga, bundled${overOf(transport, transports)}`,
      file: bundle,
      args: [url, transport],
    })),
    ...npm === undefined
      ? []
      : [{ name: "a node of Catga, from npm", file: npm.node, args: [url, transports[0]], words: npm.words }],
  ];
}

function withoutCatga(url: string, transports: Stage["rawTransports"]): Contestant[] {
  const file = "programs/idle.ts";
  return [
    { name: "a program that does nothing", file, args: ["bare"] },
    ...[["nats", "one NATS connection"], ["by-hand", "a node by hand"]].flatMap(([what, name]) =>
      transports.map((transport) => ({
        name: `${name}${overOf(transport, transports)}`,
        file,
        args: [what, url, transport],
      }))
    ),
  ];
}

/** After so many ms their processor is looked at. */
const BEGINS = [15_000, 85_000];

/** How much processor idle programs take of a second; no table where the system does not say so. */
async function processorOf(stage: Stage, effort: Effort): Promise<Table[]> {
  const { url, transports, rawTransports } = stage;
  const node = (name: string, namespace: string) => (transport: TransportName) => ({
    name: `${name}${overOf(transport, transports)}`,
    file: "programs/idle_node.ts",
    args: [url, transport, "100", `${namespace}-${transport}`],
  });
  const idle = await Promise.all(
    [
      ...withoutCatga(url, rawTransports),
      ...transports.map(node("a node of Catga, 100 contracts", "idle-alone")),
      ...[1, 2, 3].flatMap(() => transports.map(node("one of three nodes of Catga, 100 contracts", "idle-three"))),
    ].map(async ({ name, file, args }) => ({ name, program: await stage.start(file, args) })),
  );
  const started = performance.now();
  const figures = new Map(idle.map(({ name }) => [name, BEGINS.map((): number[] => [])]));
  const read = () => Promise.all(idle.map(({ program }) => program.processor()));
  for (const [column, begin] of BEGINS.entries()) {
    await pause(effort.ms(Math.max(0, begin - (performance.now() - started)), 300));
    const [start, before] = [performance.now(), await read()];
    await pause(effort.ms(25_000, 6_000));
    const [after, seconds] = [await read(), (performance.now() - start) / 1_000];
    for (const [at, { name }] of idle.entries()) {
      const [from, to] = [before[at], after[at]];
      if (from !== undefined && to !== undefined) figures.get(name)![column].push((to - from) / seconds);
    }
  }
  await stage.clear();
  const rows = [...figures].map(([name, cells]) => ({ name: `idle: ${name}`, cells }));
  if (rows.some(({ cells }) => cells.flat().length === 0)) {
    stage.leaveOut("the processor of idle programs", "only Linux has /proc/PID/task");
    return [];
  }
  return [{
    id: "idle",
    title: "Idle: processor of a second",
    unit: "ms",
    columns: BEGINS.map((begin) => `from ${begin / 1_000} s on`),
    rows,
    pairs: [],
    notes: [
      "of all threads, for 25 s that begin so long after the start: until then V8 goes on compiling what has run often; " +
      "with --quick for 6 s that begin at once, and for the next 6; 1 ms of a second is 0.1 % of a processor",
      BY_HAND,
    ],
  }];
}

interface Peak {
  readonly node: number;
  readonly client: number;
}

async function underLoad({ client, nodes: [node] }: Running, ms: number): Promise<Peak> {
  let over = false;
  const load = client.ask("closed", { outstanding: 1_024, ms }).finally(() => over = true);
  let most = 0;
  while (!over) {
    most = Math.max(most, await node.megabytes());
    await pause(50);
  }
  await load;
  return { node: most, client: await client.megabytes() };
}
