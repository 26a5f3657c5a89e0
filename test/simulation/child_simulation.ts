/**
 * Runs that start others, on whole nodes in memory, drawn from one seed: nodes are killed and frozen, messages are late
 * and answers lost, what starts a run is slow, and parents are cancelled at any moment; in half of the seeds some steps
 * and their undoing compute, so that their process stands still. At the end every run has ended, no child later than
 * its parent, and what a failed run did is undone.
 *
 *   deno run -A test/simulation/child_simulation.ts 42
 *
 * prints what went wrong, for `0..99` that of each of these seeds, with `first` no more than that of the first that
 * went wrong.
 *
 * @module
 */
import { type Catga, catga, fail, type RunInfo, workflow } from "../../mod.ts";
import type { Flow, Step } from "../../src/contract/calls/flow.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";
import { QUIET } from "../support/quiet.ts";
import { playSeeds } from "./seeds.ts";

// loaded now: while a node loads them, virtual time would pass
import "../../src/entities/entities.ts";
import "../../src/flow/runs.ts";
import "../../src/log/log.ts";
import "../../src/log/running/worker.ts";

/** The result of playing a seed. */
export interface SimulatedChildren {
  readonly violations: readonly string[];
  readonly sums: Readonly<Record<Sum, number>>;
}

const SUMS = ["children", "unstarted", "cancelled", "done", "failed", "kills", "freezes", "blocks"] as const;
type Sum = (typeof SUMS)[number];

/** Input of a run: that with which it began, how long it takes, and whether it fails. */
interface Input {
  readonly root: string;
  readonly ms: number;
  readonly fails: boolean;
}

const NODES = ["a", "b", "c"];
const PARENTS = 5;
const STORM = 20_000; // ms
const LIMIT = 300_000; // ms
/** The longest time for which a step blocks its process, in ms: longer than its timeout, and than a takeover takes. */
const BLOCK = 40_000;
/** How often a step blocks at most: one that always takes longer than its timeout never ends. */
const TIMES = 3;
const Parent = workflow<Input, string, "BAD">("Parent");

/** Simulates one seed. */
export async function simulateChildren(seed: number): Promise<SimulatedChildren> {
  const random = seededRandom(seed);
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed });
  const sums = Object.fromEntries(SUMS.map((sum) => [sum, 0])) as Record<Sum, number>;
  const violations: string[] = [];
  const blocking = seed % 4 > 1;
  const block = seededRandom(seed + 1_000_000); // other seeds are as without blocks
  /** By id of a step, and for its undoing: how long it blocks its process, in ms, and how often. */
  const blocks = new Map<string, { readonly ms: number; left: number }>();
  let storm = false;
  const did = new Set<string>();
  const undid = new Set<string>();
  const pause = (ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve));

  const apps = new Map<string, Catga>();
  /** A step computes: its process stands, and goes on with what follows the step before all that waited for it. */
  const compute = async (node: string, what: string) => {
    const app = apps.get(node);
    if (!blocking || app === undefined) return;
    const own = blocks.get(what) ?? { ms: 1_000 + block() * BLOCK, left: block() < 0.1 ? TIMES : 0 };
    blocks.set(what, own);
    if (own.left-- <= 0) return;
    sums.blocks++;
    network.pause(node);
    clock.after(own.ms, () => apps.get(node) === app && network.resume(node));
    await new Promise<void>((resolve) => void app.clock.after(0, resolve));
  };
  const step = (flow: Flow, node: string, name: string, ms: number) =>
    flow.step(name, async ({ id }: Step) => {
      await pause(ms);
      did.add(id);
      await compute(node, id);
      return id;
    }, {
      undo: async (id) => {
        undid.add(id);
        await compute(node, `undo ${id}`);
      },
    });
  const handlersOf = (node: string) => {
    // types as those of a schema of its input
    const input = {
      "~standard": { version: 1, vendor: "test", validate: (value: Input) => slow(node, value) },
    } as never;
    const body = (child: typeof Parent | undefined) => async (flow: Flow, { root, ms, fails }: Input) => {
      await step(flow, node, "first", ms / 4);
      if (child !== undefined) {
        const less = { root, ms: ms / 2, fails: fails && ms > 2_000 };
        await Promise.all(["one", "two"].map((name) => flow.send(child, less, { name })));
      }
      await step(flow, node, "last", ms / 4);
      return fails ? fail("BAD", "it was to fail") : "done";
    };
    const Grandchild = workflow<Input, string, "BAD">("Grandchild", { input });
    const Child = workflow<Input, string, "BAD">("Child", { input });
    return [Grandchild.handle(body(undefined)), Child.handle(body(Grandchild)), Parent.handle(body(Child))];
  };

  const start = async (id: string): Promise<void> => {
    try {
      apps.set(id, await catga({ network, id, handlers: handlersOf(id), logger: QUIET }));
    } catch {
      await pause(300); // an answer of the store was lost
      await start(id);
    }
  };
  await clock.until(Promise.all(NODES.map(start)));
  const client = await clock.until(catga({ network, id: "client", logger: QUIET }));
  storm = true;
  network.faults = { delay: 20, lostAck: random() < 0.5 ? 0.03 : 0 };
  const parents = Array.from({ length: PARENTS }, (_, n) => `p${n}`);
  const cancel = async (id: string) => {
    while ((await client.cancel(Parent, id, "enough")).error?.code === "UNAVAILABLE") await pause(500);
  };
  const strike = (id: string) => {
    if (!apps.has(id)) return;
    if (random() < 0.3) {
      sums.kills++;
      network.kill(id);
      apps.delete(id);
      clock.after(random() * 4_000, () => void start(id));
    } else {
      sums.freezes++;
      network.pause(id);
      clock.after(3_000 + random() * 12_000, () => apps.has(id) && network.resume(id));
    }
  };
  /** A child begins only after a while: its node may die or freeze meanwhile, and its parent be cancelled. */
  const slow = async (node: string, value: Input) => {
    if (storm && random() < 0.2) {
      strike(node);
      clock.after(random() * 1_000, () => void cancel(value.root));
    }
    if (storm) await pause(random() * 3_000);
    return { value };
  };
  for (const id of parents) {
    const given = { root: id, ms: 200 + random() * 3_000, fails: random() < 0.3 };
    clock.after(random() * STORM / 2, async () => {
      while (!(await client.start(Parent, given, { id })).ok) await pause(500);
      await pause(random() * 10_000);
      if (random() < 0.3) await cancel(id);
    });
  }
  await clock.advance(STORM);
  storm = false;
  network.faults = {};
  network.heal();
  for (const id of parents) {
    const { error } = await clock.until(client.result(Parent, id, { timeout: LIMIT }), 2 * LIMIT);
    sums[error === undefined ? "done" : error.code === "BAD" ? "failed" : "cancelled"]++;
  }
  await clock.advance(30_000); // who was frozen may still start something
  const runs = new Map<string, RunInfo>();
  for (const run of await clock.until(Array.fromAsync(client.runs()))) runs.set(`${run.workflow}:${run.id}`, run);
  for (const [name, { workflow, id, status, endedAt, timeline }] of runs) {
    if (endedAt === undefined) {
      violations.push(`${name} has not ended: it is ${status}`);
      continue;
    }
    if (workflow === "Parent") continue;
    sums.children++;
    if (timeline.length === 2) sums.unstarted++;
    const parent = runs.get(id.slice(0, id.lastIndexOf(":")));
    if (parent?.endedAt !== undefined && endedAt > parent.endedAt) violations.push(`${name} ended after its parent`);
  }
  for (const id of did) {
    const status = runs.get(id.slice(0, id.lastIndexOf(":")))?.status;
    if (status === "done" && undid.has(id)) violations.push(`${id} is undone, and its run has succeeded`);
    if (status === "failed" && !undid.has(id)) violations.push(`${id} was done and is not undone`);
  }
  await clock.until(Promise.all([...apps.values(), client].map((app) => app.drain({ timeout: 1_000 }))));
  return { violations, sums };
}

if (import.meta.main) await playSeeds(simulateChildren);
