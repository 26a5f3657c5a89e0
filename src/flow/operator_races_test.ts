/** Tests of what operators do to a run (retry, skip, cancel) while a node executes it. */
import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { type Catga, type CatgaError, type RunInfo, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { delay, systemClock } from "../ports/clock.ts";
import { Journal } from "./stored/journal.ts";
import { runInfos } from "./calls/run_infos.ts";
import type { RunLog } from "./stored/run_log.ts";
import type { RunRef } from "./stored/run_ref.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { infoOf } from "./run_suite.ts";

const Job = workflow<void, string>("Job");
const DAY = 86_400_000;

/**
 * Runs a workflow on one node. Its step "work" calls `operator` with the other node, and then returns or throws by
 * `end` at once. Returns what happened.
 */
async function race(
  operator: (info: RunInfo, other: Catga) => Promise<unknown>,
  end: () => string,
  retry: { readonly attempts: number; readonly delay?: readonly [first: number, longest: number] },
) {
  const calls: string[] = [];
  const job = Job.handle(async (flow) => {
    const value = await flow.step("work", async ({ attempt }) => {
      calls.push(`work ${attempt}`);
      if (attempt > 1) return "again";
      await operator(await infoOf(other, flow.id), other);
      return end();
    }, { retry, undo: (value) => void calls.push(`undo ${value}`) });
    await flow.step("later", () => void calls.push(`later ${value}`));
    await flow.sleep("a day", DAY);
    return value;
  });
  const cluster = await testCluster(["worker", "other"], {
    logger: QUIET,
    node: (id) => id === "worker" ? { handlers: job } : {},
  });
  const [app, other] = [cluster.app("worker"), cluster.app("other")];
  const run = unwrap(await app.start(Job));
  await cluster.advance(4_000);
  const info = await infoOf(app, run);
  return {
    calls,
    info,
    outcomes: info.timeline.filter(({ name, type }) => name === "work" && (type === "done" || type === "skipped")),
    result: async () => {
      await cluster.leap(DAY);
      const result = await app.result(Job, run, { timeout: 60_000 });
      return result.ok ? result.value : result.error.code;
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

const gives = () => "own";
const throws = () => {
  throw new Error("no");
};
const LAST = { attempts: 1 };
const PAUSED = { attempts: 3, delay: [60_000, 60_000] } as const;

describe("a step that an operator skips in the moment in which its attempt", () => {
  for (
    const [name, end, retry] of [["ends", gives, LAST], ["fails for the last time", throws, LAST], [
      "fails",
      throws,
      PAUSED,
    ]] as const
  ) {
    it(`${name}: the run goes on with the operator's value, and is not held up by the step`, async () => {
      await using run = await race((info) => info.skip("work", "by hand", "because"), end, retry);
      assertEquals(run.info.status, "waiting");
      assertEquals(run.info.pending.map(({ name }) => name), ["a day"]);
      assertEquals(run.outcomes.length, 1);
      assertEquals(run.calls, ["work 1", "later by hand"]);
      assertEquals(await run.result(), "by hand");
    });
  }
});

describe("a step that an operator skips while the store is slow", () => {
  it("has the operator's value if that was not refused, whenever its attempt ends", async () => {
    for (let seed = 40; seed < 46; seed++) {
      const job = Job.handle(async (flow) => {
        const value = await flow.step("work", () => delay(cluster.clock, 400).then(() => "own"));
        await flow.sleep("a while", 2_000);
        return value;
      });
      const node = (id: string) => id === "worker" ? { handlers: job } : {};
      await using cluster = await testCluster(["worker", "other"], { seed, logger: QUIET, node });
      const app = cluster.app("worker");
      const run = unwrap(await app.start(Job));
      cluster.network.faults = { delay: 300 };
      const info = await infoOf(cluster.app("other"), run);
      const said = await info.skip("work", "by hand", "because").then(() => "by hand", ({ code }: CatgaError) => code);
      const result = unwrap(await app.result(Job, run, { timeout: 60_000 }));
      assertEquals(said, result === "own" ? "CONFLICT" : "by hand", `with seed ${seed}`);
    }
  });
});

describe("a run that is cancelled in the moment in which an attempt of a step with an undo", () => {
  for (
    const [name, end, calls] of [["ends", gives, ["work 1", "undo own"]], ["fails", throws, [
      "work 1",
      "work 2",
      "undo again",
    ]]] as const
  ) {
    it(`${name}: the step gets its outcome at once, and is undone, and no other begins`, async () => {
      await using run = await race((info, other) => other.cancel(Job, info.id, "enough"), end, PAUSED);
      assertEquals(run.info.status, "failed");
      assertEquals(run.calls, [...calls]);
      assertEquals(await run.result(), "CANCELLED");
    });
  }
});

describe("a run that is cancelled in the moment in which its handler fails for good", () => {
  it("ends, and is not stuck", async () => {
    const job = Job.handle(async (flow) => {
      await flow.step("work", () => {});
      await (cancelled ??= other.cancel(Job, flow.id, "enough"));
      await flow.sleep("invalid", NaN);
      return "";
    });
    let cancelled: Promise<unknown> | undefined;
    const node = (id: string) => id === "worker" ? { handlers: job } : {};
    await using cluster = await testCluster(["worker", "other"], { logger: QUIET, node });
    const [app, other] = [cluster.app("worker"), cluster.app("other")];
    const run = unwrap(await app.start(Job));
    assertEquals((await app.result(Job, run, { timeout: 4_000 })).error?.code, "CANCELLED");
    // the end is announced a moment before the execution of the run has ended
    await cluster.advance(100);
    assertEquals(app.health().alarms, []);
  });
});

describe("a run that an operator has tried again while an attempt of a step runs", () => {
  it("keeps the outcome of that attempt: the step is not run again", async () => {
    await using run = await race((info) => info.retry(), gives, LAST);
    assertEquals(run.calls, ["work 1", "later own"]);
    assertEquals(await run.result(), "own");
  });
});

describe("a list of runs", () => {
  it("loads four at once, in order; a rejection counts in its turn, and not for a reader that has stopped", async () => {
    const loaded: string[] = [];
    const log = {
      all: () => Promise.resolve(["1", "2", "3", "4", "5", "6"].map((run) => ({ ref: { workflow: "Job", run } }))),
      load: ({ run }: RunRef) => {
        loaded.push(run);
        if (run === "3") return Promise.reject(new Error("unreadable"));
        const journal = new Journal();
        const entries = [{ t: "started", version: 1, keep: 0, by: "" }] as const;
        journal.apply({ sequence: 1, time: 0, holder: "", entries, mark: "" });
        return Promise.resolve(journal);
      },
    } as unknown as RunLog; // safe: `runInfos` calls only these
    const unused = () => Promise.resolve();
    const unrefused = () => Promise.resolve(undefined);
    const stops = runInfos(log, {}, unused, unrefused);
    assertEquals((await stops.next()).value?.id, "1");
    await stops.return?.();
    await delay(systemClock, 1); // time for an unhandled rejection to end the process
    assertEquals(loaded.splice(0), ["1", "2", "3", "4"]);
    const given: string[] = [];
    const all = async () => {
      for await (const { id } of runInfos(log, {}, unused, unrefused)) given.push(id);
    };
    await assertRejects(all, Error, "unreadable");
    assertEquals([given, loaded.length], [["1", "2"], 6]);
  });
});
