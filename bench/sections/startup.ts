/** How long it takes to become a node. */
import { performance } from "node:perf_hooks";
import type { TransportName } from "../arguments.ts";
import { runtimeBinary } from "../../test/processes/node_process.ts";
import { bundled } from "../bundled.ts";
import { fromNpm } from "../from_npm.ts";
import { alternate } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import type { Row } from "../table.ts";
import { overOf, overRaw } from "./contestants.ts";
import { BY_HAND, type Measure } from "./section.ts";

/** Measures `catga()`, in a running process and from the start of one. */
export const startup: Measure = async (stage, effort) => {
  await stage.clear();
  const { url, transports, rawTransports } = stage;
  const program = await stage.start("programs/startup.ts", [url, transports[0], rawTransports[0]]);
  const rounds = effort.rounds(15, 5, 3);
  const joins: { joined: number; answered: number }[] = [];
  const connects: number[] = [];
  for (let round = 0; round < rounds + 2; round++) {
    const connect = await program.ask<number>("connect");
    const join = await program.ask<typeof joins[number]>("join");
    if (round < 2) continue; // these load and compile
    connects.push(connect);
    joins.push(join);
  }
  await stage.clear();
  const bun = await runtimeBinary("bun");
  await using bundle = await bundled(bun, "programs/idle_node.ts");
  await using library = await bundled(bun, "../mod.ts");
  await using npm = await fromNpm(bun);
  const players = [
    { name: BARE, play: () => process(stage, IDLE, ["bare"]) },
    ...rawTransports.map((transport) => ({
      name: `to connect() done${overOf(transport, rawTransports)}`,
      play: () => process(stage, IDLE, ["nats", url, transport]),
    })),
    ...rawTransports.map((transport) => ({
      name: `to a node by hand${overOf(transport, rawTransports)}`,
      play: () => process(stage, IDLE, ["by-hand", url, transport]),
    })),
    ...transports.map((transport) => ({
      name: `to catga() done${overOf(transport, transports)}`,
      play: () => process(stage, "programs/idle_node.ts", [url, transport]),
    })),
    ...transports.map((transport) => ({
      name: `${BUNDLED}${overOf(transport, transports)}`,
      play: () => process(stage, bundle.file, [url, transport]),
    })),
    { name: IMPORTS, play: () => process(stage, IDLE, ["import", "../../mod.ts"]) },
    ...npm === undefined ? [] : [
      { name: FROM_NPM, play: () => process(stage, npm.node, [url, transports[0]], npm.words) },
      { name: IMPORTS_FROM_NPM, play: () => process(stage, IDLE, ["import", npm.library], npm.words) },
    ],
    { name: IMPORTS_BUNDLED, play: () => process(stage, IDLE, ["import", library.file]) },
  ];
  await alternate(players, effort.warm(1)); // Deno compiles what it has not run before
  const processes = await alternate(players, effort.rounds(7, 3, 3));
  const whole = await alternate(
    transports.map((transport) => ({
      name: `then catga()${overOf(transport, transports)}`,
      play: () => fresh(stage, "whole", transport),
    })),
    effort.rounds(11, 3),
  );
  const steps = await alternate(
    [{ name: "steps", play: () => fresh(stage, "steps", transports[0]) }],
    effort.rounds(11, 3),
  );
  const parts = steps.get("steps")!;
  const step = (of: readonly Steps[], name: string) => of.map((steps) => steps[name]);
  const pairs = [
    ...rawTransports.map((transport) => overOf(transport, rawTransports)).flatMap((over) => {
      const [connected, byHand] = [`a process to connect() done${over}`, `a process to a node by hand${over}`];
      return [
        { row: `a process to catga() done${over}`, against: connected },
        { row: byHand, against: connected },
        { row: `a process to catga() done${over}`, against: byHand },
      ];
    }),
    { row: `a process ${FROM_NPM}`, against: "a process to connect() done" },
    ...transports.map((transport) => ({
      row: `a process ${BUNDLED}${overOf(transport, transports)}`,
      against: `a process to connect() done${overRaw(transport, stage)}`,
    })),
  ];
  const processors = processorsOf(processes);
  return [
    {
      id: "startup",
      title: "Startup: from the call, or from the start of the process",
      unit: "ms",
      columns: ["takes"],
      rows: [
        { name: "connect() of nats.js", cells: [connects] },
        { name: "catga()", cells: [joins.map(({ joined }) => joined)] },
        { name: "catga() and the first answer to another node", cells: [joins.map(({ answered }) => answered)] },
        ...[...processes].map(([name, rounds]) => ({ name: `a process ${name}`, cells: [rounds.map(({ ms }) => ms)] })),
      ],
      pairs,
      notes: [
        "catga() resolves when the others can reach the node; processes do not check types",
        `${BY_HAND}; ` +
        "what it takes beside connect() is the least for any node",
        "bundled: Catga and nats.js in few files, by bun build --minify --splitting; from npm: JavaScript below node_modules",
      ],
    },
    ...processors.length === 0 ? [] : [{
      id: "startup-processor",
      title: "Startup: processor of all threads, from the start of the process",
      unit: "ms" as const,
      columns: ["takes"],
      rows: processors,
      pairs,
      notes: ["import of Catga: that of a process that imports it, less that of one that does nothing, round by round"],
    }],
    {
      id: "startup-steps",
      title: "Startup: where it goes, in a fresh process",
      unit: "ms",
      columns: ["takes"],
      rows: [
        { name: "import of Catga", cells: [step(parts, "mod")] },
        ...[...whole].map(([name, rounds]) => ({ name, cells: [step(rounds, "catga")] })),
        { name: "of it: nats.js is loaded", cells: [step(parts, "nats")] },
        { name: "of it: ours of NATS and of the cluster is loaded", cells: [step(parts, "ours")] },
        { name: "of it: connect()", cells: [step(parts, "connect")] },
        { name: "of it: the bucket is opened", cells: [step(parts, "bucket")] },
        { name: "of it: a record is written, the others' are read", cells: [step(parts, "join")] },
      ],
      pairs: [],
      notes: ["the steps one after the other in processes of their own; code runs for the first time in each"],
    },
  ];
};

const IDLE = "programs/idle.ts";
const BARE = "that does nothing";
const IMPORTS = "that imports Catga";
const FROM_NPM = "to catga() done, from npm";
const IMPORTS_FROM_NPM = `${IMPORTS}, from npm`;
const IMPORTS_BUNDLED = `${IMPORTS}, bundled`;
const BUNDLED = "to catga() done, bundled";

/** ms by step. */
type Steps = Readonly<Record<string, number>>;

/** The steps of a process that is started for it. */
async function fresh(stage: Stage, what: string, transport: TransportName): Promise<Steps> {
  const program = await stage.start("programs/startup_steps.ts", [what, stage.url, transport]);
  const steps = await program.ask<Steps>("steps");
  await program.leave();
  await stage.clear();
  return steps;
}

/** From the start of a process to its readiness, in ms. */
interface Started {
  readonly ms: number;
  /** That of all threads; only Linux says so. */
  readonly processor: number | undefined;
}

async function process(
  stage: Stage,
  file: string,
  args: readonly string[],
  words: readonly string[] = [],
): Promise<Started> {
  const start = performance.now();
  const program = await stage.start(file, args, words);
  const ms = performance.now() - start;
  const processor = await program.processor();
  // a node that was killed leaves a record, whose process the next one would look for
  await program.leave();
  await stage.clear();
  return { ms, processor };
}

/** Processor time of starts, and of the import of Catga; no rows where the system does not tell it. */
function processorsOf(processes: ReadonlyMap<string, readonly Started[]>): Row[] {
  const figures = new Map(
    [...processes].map(([name, rounds]) => [name, rounds.map(({ processor = NaN }) => processor)]),
  );
  if ([...figures.values()].flat().some(Number.isNaN)) return [];
  const bare = figures.get(BARE)!;
  const imports = [IMPORTS, IMPORTS_BUNDLED, IMPORTS_FROM_NPM].filter((name) => figures.has(name));
  return [
    ...[...figures].map(([name, rounds]) => ({ name: `a process ${name}`, cells: [rounds] })),
    ...imports.map((name) => ({
      name: `of it: ${name.replace("that imports", "import of")}`,
      cells: [figures.get(name)!.map((processor, round) => processor - bare[round])],
    })),
  ];
}
