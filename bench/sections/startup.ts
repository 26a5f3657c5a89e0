/** How long it takes to become a node. */
import { performance } from "node:perf_hooks";
import { alternate } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import type { Effort, Measure } from "./section.ts";

/** Measures `catga()`, in a running process and from the start of one. */
export const startup: Measure = async (stage, effort) => {
  await stage.clear();
  const program = await stage.start("programs/startup.ts", [stage.url]);
  const rounds = effort.rounds(15, 5);
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
  const processes = await alternate(
    ["bare", "nats", "catga"].map((what) => ({ name: what, play: () => process(stage, what) })),
    effort.rounds(7, 3),
  );
  const [whole, parts] = [await fresh(stage, effort, "whole"), await fresh(stage, effort, "steps")];
  const step = (of: readonly Steps[], name: string) => of.map((steps) => steps[name]);
  return [{
    id: "startup",
    title: "Startup: from the call, or from the start of the process",
    unit: "ms",
    columns: ["takes"],
    rows: [
      { name: "connect() of nats.js", cells: [connects] },
      { name: "catga()", cells: [joins.map(({ joined }) => joined)] },
      { name: "catga() and the first answer to another node", cells: [joins.map(({ answered }) => answered)] },
      { name: "a process that does nothing", cells: [processes.get("bare")!] },
      { name: "a process, to connect() done", cells: [processes.get("nats")!] },
      { name: "a process, to catga() done", cells: [processes.get("catga")!] },
    ],
    pairs: [],
    notes: ["catga() resolves when the others can reach the node; processes do not check types"],
  }, {
    id: "startup-steps",
    title: "Startup: where it goes, in a fresh process",
    unit: "ms",
    columns: ["takes"],
    rows: [
      { name: "import of Catga", cells: [step(parts, "mod")] },
      { name: "then catga()", cells: [step(whole, "catga")] },
      { name: "of it: nats.js is loaded", cells: [step(parts, "nats")] },
      { name: "of it: ours of NATS is loaded", cells: [step(parts, "ours")] },
      { name: "of it: connect()", cells: [step(parts, "connect")] },
      { name: "of it: the bucket is opened", cells: [step(parts, "bucket")] },
      { name: "of it: a record is written, the others' are read", cells: [step(parts, "join")] },
    ],
    pairs: [],
    notes: ["the steps one after the other in processes of their own; code runs for the first time in each"],
  }];
};

/** ms by step. */
type Steps = Readonly<Record<string, number>>;

/** The steps of one process after another. */
async function fresh(stage: Stage, effort: Effort, what: string): Promise<Steps[]> {
  const all: Steps[] = [];
  for (let round = effort.rounds(11, 3); round > 0; round--) {
    const program = await stage.start("programs/startup_steps.ts", [what, stage.url, stage.transports[0]]);
    all.push(await program.ask<Steps>("steps"));
    await stage.clear();
  }
  return all;
}

/** ms from the start of a process to its readiness. */
async function process(stage: Stage, what: string): Promise<number> {
  const start = performance.now();
  await stage.start("programs/idle.ts", [what, stage.url, stage.transports[0]]);
  const ms = performance.now() - start;
  await stage.clear();
  return ms;
}
