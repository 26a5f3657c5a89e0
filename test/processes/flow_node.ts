/**
 * A process that drives runs of a workflow, for tests.
 *
 *   … test/processes/flow_node.ts <nats url>[,<nats url>…] <id> '<options as JSON>'
 *
 * Writes what its steps do to the file of its test.
 *
 * @module
 */
import { openSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { catga, command, fail, type Flow, unwrap, type Workflow, workflow } from "@catga/catga";
import { type LoopGap, LoopGaps } from "./loop_gaps.ts";

/** The options of such a process. */
export interface FlowNodeOptions {
  readonly folder: string;
  readonly replicas: number;
  /** Of its handler: from version 2 on a run has one more step. */
  readonly version: number;
}

/** The input of a run. */
export interface StormInput {
  readonly fails: boolean;
  readonly waits: boolean;
  /** In ms. */
  readonly sleep: number;
  /** True if its child fails. */
  readonly childFails: boolean;
}

/** A line of the file: something was done, or taken back. */
export interface FlowLine {
  readonly event: "did" | "undid";
  readonly run: string;
  readonly step: string;
  /** The id that the step gave to whoever did it. */
  readonly id: string;
  readonly node: string;
}

/** Does something for a step of a run. */
export const Do = command<{ run: string; step: string }, string>("Do", { idempotent: true, timeout: 2_000 });
/** Takes it back. */
export const Undo = command<{ run: string; step: string }, void>("Undo", { idempotent: true, timeout: 2_000 });
/** Has a node start a run. */
export const Begin = command<{ run: string; input: StormInput }, void>("Begin", { idempotent: true, timeout: 2_000 });
/**
 * The workflow: two steps, two at once, a sleep, a wait, a child, and an end; one that fails has a step under way then.
 */
export const Storm: Workflow<StormInput, { said: string; version: number }, "NO"> = workflow("Storm");
export const Said = Storm.signal<string>("Said");
/** Its child: one step, which is taken back if the child fails. */
export const Child = workflow<{ run: string; fails: boolean }, string, "NO">("Child");

/** The path of the file in the folder of a test. */
function fileOf(folder: string): string {
  return join(folder, "lines");
}

/** The path of the file with the gaps of the event loops of the processes. */
function gapsOf(folder: string): string {
  return join(folder, "gaps");
}

async function readLines<Line>(file: string): Promise<Line[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as Line);
}

/** What the file of a test has. */
export function readFlowFile(folder: string): Promise<FlowLine[]> {
  return readLines(fileOf(folder));
}

/** When processes did not run although they had something to do; without the times in which they computed. */
export async function readPauses(folder: string): Promise<LoopGap[]> {
  const gaps = await readLines<LoopGap>(gapsOf(folder));
  return gaps.filter(({ from, to, busy }) => busy < (to - from) / 2);
}

/** How long a run waits for what it is told: longer than any test goes on, in ms. */
const PATIENCE = 3_600_000;

/** The steps of a run, in the order in which they follow each other. */
export function stepsOf(version: number, fails: boolean): readonly (readonly string[])[] {
  const last = fails ? ["last", "slow"] : ["last"];
  return [["first"], ["left", "right"], ["local"], ["inner"], last, ...(version > 1 ? [["more"]] : [])];
}

/** The handler of the workflow. `local`: what its local step does. */
export function storm(local: (run: string, step: string, id: string) => void) {
  return async (flow: Flow, { fails, waits, sleep, childFails }: StormInput) => {
    const { id: run, version } = flow;
    const undo = (step: string) => async () => void await flow.send(Undo, { run, step }, { name: `undo ${step}` });
    const send = (step: string) => flow.send(Do, { run, step }, { name: step, undo: undo(step) });
    await send("first");
    await Promise.all([send("left"), send("right")]);
    await flow.sleep("a while", sleep);
    const said = waits ? await flow.wait(Said, { timeout: PATIENCE }) ?? "nothing" : "none";
    await flow.step("local", (step) => local(run, "local", step.id), { undo: undo("local") });
    const child = await flow.send(Child, { run, fails: childFails });
    if (child.ok === childFails) throw new Error(`the child ended with ${JSON.stringify(child)}`);
    if (fails) void send("slow");
    await send("last");
    if (version > 1) await send("more");
    return fails ? fail("NO", "it was to fail") : { said, version };
  };
}

const child = Child.handle(async (flow, { run, fails }) => {
  const undo = async () => void await flow.send(Undo, { run, step: "inner" }, { name: "undo inner" });
  unwrap(await flow.send(Do, { run, step: "inner" }, { name: "inner", undo }));
  return fails ? fail("NO", "it was to fail") : "done";
});

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [urls, id, text] = process.argv.slice(2);
  const { folder, replicas, version } = JSON.parse(text) as FlowNodeOptions;
  const [file, gaps] = [fileOf(folder), gapsOf(folder)].map((path) => openSync(path, "a"));
  // each line is one write, and stays when the process is killed
  const note = (line: Omit<FlowLine, "node">) => void writeSync(file, `${JSON.stringify({ ...line, node: id })}\n`);
  new LoopGaps((gap) => void writeSync(gaps, `${JSON.stringify(gap)}\n`));
  const Own: Workflow<StormInput, { said: string; version: number }, "NO"> = workflow("Storm", { version });
  const app = await catga({
    nats: { servers: urls.split(",") },
    id,
    namespace: "storm",
    replicas,
    signals: true,
    handlers: [
      Do.handle(async ({ run, step }, ctx) => {
        if (step === "slow") await wait(100);
        note({ event: "did", run, step, id: ctx.id });
        return step;
      }),
      Begin.handle(async ({ run, input }, ctx) => void unwrap(await ctx.start(Storm, input, { id: run }))),
      Undo.handle(({ run, step }, ctx) => note({ event: "undid", run, step, id: ctx.id })),
      child,
      Own.handle(storm((run, step, id) => note({ event: "did", run, step, id }))),
    ],
    logger: { debug() {}, info() {}, warn: say, error: say },
  });
  console.log(JSON.stringify({ event: "ready", id }));
  await app.closed;
}

function say(message: string, { error }: { error?: unknown }): void {
  console.error(message, error ?? "");
}
