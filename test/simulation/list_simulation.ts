/**
 * Runs that work through lists, under faults, all of it drawn from one seed: nodes are killed and frozen at any moment,
 * answers of the store are lost, runs fail and are cancelled. At the end each run has what its items gave, in the order
 * of the list; no item ran again once its outcome was seen in the store; and what a failed run did is undone.
 *
 *   deno run -A test/simulation/list_simulation.ts 42
 *
 * prints what went wrong, for `0..99` that of each of these seeds, with `first` no more than that of the first that
 * went wrong.
 *
 * @module
 */
import { command, fail, type Flow, type Result, workflow } from "../../mod.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { type TestCluster, testCluster } from "../../src/testing/mod.ts";
import { QUIET } from "../support/quiet.ts";
import { playSeeds } from "./seeds.ts";

/** The result of playing a seed. */
export interface SimulatedLists {
  readonly violations: readonly string[];
  readonly sums: Record<"kills" | "freezes" | "repeated" | "done" | "failed" | "cancelled", number>;
}

interface Input {
  readonly items: number;
  readonly fails: boolean;
}
interface Output {
  readonly steps: readonly string[];
  readonly sent: readonly number[];
  readonly runs: readonly number[];
}

const List = workflow<Input, Output, "BAD">("List", { keep: 600_000 });
const Kid = workflow<number, number>("Kid", { keep: 600_000 });
const Double = command<number, number>("Double", { idempotent: true });
const RUNS = ["a", "b"];
const NODES = ["n1", "n2"];
const MAY_REPEAT: ReadonlySet<string> = new Set(["NOT_ENDED", "OUTCOME_UNKNOWN", "UNAVAILABLE"]);

/** Simulates one seed. */
export async function simulateLists(seed: number): Promise<SimulatedLists> {
  const random = seededRandom(seed);
  const sums = { kills: 0, freezes: 0, repeated: 0, done: 0, failed: 0, cancelled: 0 };
  const violations: string[] = [];
  const kind = (seed >> 1) % 4; // of seeds of either runtime, which plays every other one
  const given: Input = { items: 5 + Math.floor(random() * 30), fails: kind === 1 };
  const atOnce = 1 + Math.floor(random() * 6);
  const longest = random() < 0.5 ? 20 : 400;
  const cancels = kind === 2;
  /** By id of a step: how often its function began. */
  const begun = new Map<string, number>();
  /** Ids of steps whose outcome was seen in the store. */
  const seen = new Set<string>();
  const did = new Set<string>();
  const undid = new Set<string>();
  /** A node that was frozen begins some items before it learns that another one has its runs. */
  const freezes = (seed >> 1) % 3 === 0;

  /** By node: its process; a process that was killed does nothing more. */
  const processes = new Map<string, { isDead: boolean }>();

  const body = async (flow: Flow, { items, fails }: Input, process: { readonly isDead: boolean }) => {
    const pause = async (ms: number) => {
      await new Promise<void>((resolve) => void cluster.clock.after(ms, resolve));
      if (process.isDead) await new Promise(() => {});
    };
    const list = Array.from({ length: items }, (_, n) => n);
    const kept = await flow.map(list, async (_, { id }) => {
      await pause(random() * longest);
      did.add(id);
      return id;
    }, { name: "kept", atOnce, undo: (id) => void undid.add(id) });
    if (kept.length !== items) violations.push(`${flow.id}: ${kept.length} items are kept`);
    const steps = await flow.map(list, async (item, { id }) => {
      if (process.isDead) await new Promise(() => {});
      begun.set(id, 1 + (begun.get(id) ?? 0));
      if (seen.has(id) && !freezes) violations.push(`${id} runs again, and its outcome was stored`);
      await pause(random() * longest);
      return `${item} of ${id}`;
    }, { name: "step", atOnce });
    const sent = await flow.map(list, Double, { atOnce });
    const runs = await flow.map(list.slice(0, 8), Kid, { atOnce });
    if (fails) return fail("BAD", "it was to fail");
    if (!sent.ok || !runs.ok) return fail("BAD", "an item has failed");
    return { steps, sent: sent.value, runs: runs.value };
  };
  const cluster: TestCluster = await testCluster([...NODES, "client"], {
    seed: seed + 1,
    faults: { delay: 4 + Math.floor(random() * 30), ...(random() < 0.5 ? { lostAck: 0.03 } : {}) },
    logger: QUIET,
    timeout: 5_000,
    node: (id) => {
      if (id === "client") return {};
      const process = { isDead: false };
      processes.set(id, process);
      return {
        handlers: [
          List.handle((flow, input) => body(flow, input, process)),
          Kid.handle(async (flow, n) => (await flow.sleep("some", 10 + random() * longest), n + 100)),
          Double.handle((n) => 2 * n),
        ],
      };
    },
  });
  const app = cluster.app("client");
  let isOver = false;
  try {
    for (const id of RUNS) await insist(cluster, () => app.start(List, given, { id }));
    const looking = look();
    const storm = chaos();
    await storm;
    for (const id of RUNS) await check(id);
    isOver = true;
    await looking;
    for (const count of begun.values()) sums.repeated += count - 1;
  } catch (error) {
    violations.push(`it threw ${(error as Error).stack}`);
  }
  isOver = true;
  await cluster[Symbol.asyncDispose]();
  return { violations, sums };

  async function chaos(): Promise<void> {
    for (let n = 0; n < 5; n++) {
      await cluster.advance(random() * random() * (cancels ? 300 : 1_500));
      const id = NODES[Math.floor(random() * 2)];
      if (!freezes || random() < 0.5) {
        sums.kills++;
        processes.get(id)!.isDead = true;
        cluster.kill(id);
        // the next process knows no more of what the killed one has begun than what is stored
        if (cancels && n < 3) await insist(cluster, () => app.cancel(List, RUNS[n % 2], "enough"));
        await cluster.advance(random() * 2_000);
        await startAgain(id);
      } else {
        sums.freezes++;
        cluster.pause(id);
        await cluster.advance(random() * 15_000);
        cluster.resume(id);
      }
    }
    cluster.heal();
  }

  /** Starts a node; as by whoever runs it, again, if the store does not answer it. */
  async function startAgain(id: string): Promise<void> {
    for (let left = 20;; left--) {
      try {
        return void await cluster.start(id);
      } catch (error) {
        if (left === 0) throw error;
        await cluster.advance(300);
      }
    }
  }

  /** Notes, again and again, which outcomes are in the store. */
  async function look(): Promise<void> {
    while (!isOver) {
      try {
        for await (const { workflow, id, timeline } of app.runs({ workflow: "List" })) {
          for (const { type, name } of timeline) if (type === "done") seen.add(`${workflow}:${id}:${name}`);
        }
      } catch {
        // an answer of the store is lost: the next look sees more
      }
      await cluster.advance(20);
    }
  }

  async function check(id: string): Promise<void> {
    const end = await insist(cluster, () => app.result(List, id, { timeout: 60_000 }));
    const list = Array.from({ length: given.items }, (_, n) => n);
    if (end?.ok) {
      sums.done++;
      const expected: Output = {
        steps: list.map((n) => `${n} of List:${id}:step[${n}]`),
        sent: list.map((n) => 2 * n),
        runs: list.slice(0, 8).map((n) => n + 100),
      };
      if (JSON.stringify(end.value) !== JSON.stringify(expected)) {
        violations.push(`${id} ends with ${JSON.stringify(end.value)}`);
      }
    } else if (end?.error.code === "BAD" && given.fails) sums.failed++;
    else if (end?.error.code === "CANCELLED" && cancels) sums.cancelled++;
    else violations.push(`${id} ends with ${end?.error.code}: ${end?.error.message}`);
    for (const step of did) {
      if (!step.startsWith(`List:${id}:`)) continue;
      if (end?.ok && undid.has(step)) violations.push(`${step} is undone, and its run has succeeded`);
      if (!end?.ok && !undid.has(step)) violations.push(`${step} was done and is not undone`);
    }
  }
}

/** Calls until the store has taken it. */
async function insist<T>(cluster: TestCluster, call: () => Promise<Result<T>>): Promise<Result<T> | undefined> {
  for (let left = 20; left > 0; left--) {
    const result = await call();
    if (result.ok || !MAY_REPEAT.has(result.error.code) || left === 1) return result;
    await cluster.advance(50);
  }
}

if (import.meta.main) await playSeeds(simulateLists);
