/** Tests of the ends of runs: their handler returns or throws, or they are cancelled. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { CatgaError, command, fail, type Flow, type Result, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { infoOf } from "./run_suite.ts";
import { Journal } from "./stored/journal.ts";
import { entryOf } from "./stored/journal_entry.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Job = workflow<void, string, "NO">("Job");
const never = () => new Promise<never>(() => {});

describe("a run whose steps have their outcomes", () => {
  it("makes no error when it ends (each step was aborted with one, a tenth of the run's processor)", async () => {
    const job = Job.handle(async (flow) => `${await flow.step("a", () => 1)}${await flow.step("b", () => 2)}`);
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const made: string[] = [];
    const before = Object.getPrototypeOf(CatgaError);
    Object.setPrototypeOf(
      CatgaError,
      class extends Error {
        constructor(...[message, options]: ConstructorParameters<typeof Error>) {
          super(message, options);
          made.push(this.message);
        }
      },
    );
    try {
      const run = unwrap(await app.start(Job));
      assertEquals(unwrap(await app.result(Job, run)), "12");
      await cluster.advance(1_000);
    } finally {
      Object.setPrototypeOf(CatgaError, before);
    }
    assertEquals(made, []);
  });
});

describe("a handler that returns without what it has begun", () => {
  it("ends the run at once: an attempt is aborted, and no other follows", async () => {
    const aborted: unknown[] = [];
    const job = Job.handle((flow) =>
      Promise.race([
        flow.step("hangs", ({ signal }) => {
          signal.addEventListener("abort", () => aborted.push((signal.reason as CatgaError).message));
          return never();
        }, { undo: () => {} }),
        flow.step("fails", () => Promise.reject(new Error("nobody answers"))),
        flow.sleep("a while", 4_000).then(() => "slept"),
        flow.sleep("a moment", 1_000).then(() => "rested"),
      ])
    );
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const began = cluster.clock.now();
    const run = unwrap(await app.start(Job, undefined, { id: "7" }));
    assertEquals(unwrap(await app.result(Job, run)), "rested");
    assertLess(cluster.clock.now() - began, 2_000);
    assertEquals(aborted, ["run 7 of Job has ended without hangs"]);
    await cluster.advance(60_000);
    const { status, timeline } = await infoOf(app, run);
    assertEquals([status, timeline.at(-1)?.type], ["done", "ended"]);
  });

  it("leaves another run to itself", async () => {
    const Slow = workflow<void, string>("Slow");
    const slow = Slow.handle((flow) => flow.sleep("a minute", 60_000).then(() => "late"));
    const job = Job.handle((flow) =>
      Promise.race([flow.send(Slow).then(() => "too late"), flow.sleep("a moment", 100).then(() => "rested")])
    );
    await using cluster = await testCluster(1, { handlers: [job, slow], logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job, undefined, { id: "7" }));
    assertEquals(unwrap(await app.result(Job, run)), "rested");
    await cluster.leap(61_000);
    assertEquals(unwrap(await app.result(Slow, "Job:7:Slow", { timeout: 60_000 })), "late");
    await cluster.advance(10_000);
    assertEquals((await infoOf(app, run, "Job")).timeline.at(-1)?.type, "ended");
  });

  it("records nothing behind the end: no signal, and no limit of time", async () => {
    const Stop = Limited.signal("Stop");
    for (let at = 5; at < 25; at++) {
      const job = Limited.handle(async (flow) => {
        // deno-lint-ignore catga/no-wait-race
        await Promise.race([flow.wait(Stop), flow.step("work", () => new Promise((done) => setTime(10, done)))]);
        return "done";
      });
      await using cluster = await testCluster(1, { seed: at, handlers: job, logger: QUIET });
      const setTime = (ms: number, done: (value?: unknown) => void) => void cluster.clock.after(ms, done);
      cluster.network.faults = { delay: 10 };
      const app = cluster.app("node-1");
      const run = unwrap(await app.start(Limited));
      await cluster.advance(at);
      await app.tell(Stop, run);
      await app.result(Limited, run);
      await cluster.advance(1_000);
      const types = (await infoOf(app, run)).timeline.map(({ type }) => type);
      assertEquals(types.indexOf("ended"), types.length - 1, `told after ${at} ms: ${types}`);
    }
  });
});

const Limited = workflow<void, string>("Limited", { timeout: 30 });

describe("the code of a result", () => {
  it("tells that the run goes on from how it ended (both were TIMEOUT, or CANCELLED)", async () => {
    const waits = (flow: Flow) => flow.sleep("a while", 60_000).then(() => "late");
    await using cluster = await testCluster(1, { handlers: [Job.handle(waits), Limited.handle(waits)], logger: QUIET });
    const app = cluster.app("node-1");
    const [job, limited] = [unwrap(await app.start(Job)), unwrap(await app.start(Limited))];
    const said = ({ error }: Result<unknown>) => [error?.code, error?.retryable];
    const late = await app.result(Job, job, { timeout: 10 });
    const aborted = await app.result(Job, job, { signal: AbortSignal.abort() });
    const ended = await app.result(Limited, limited);
    assertEquals([late, aborted, ended].map(said), [
      ["NOT_ENDED", true],
      ["NOT_ENDED", true],
      ["TIMEOUT", false],
    ]);
    unwrap(await app.cancel(Job, job, "enough"));
    assertEquals(said(await app.result(Job, job)), ["CANCELLED", false]);
  });
});

describe("a handler that throws", () => {
  it("in a cancelled run has what it knows of undone, however often it throws", async () => {
    const undone: string[] = [];
    const job = Job.handle(async (flow) => {
      await flow.step("charge", () => 1, { undo: () => void undone.push("charge") });
      throw new Error("a bug");
    });
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    await cluster.advance(3_000);
    assertEquals((await infoOf(app, run)).status, "retrying");
    unwrap(await app.cancel(Job, run, "enough"));
    assertEquals((await app.result(Job, run)).error?.code, "CANCELLED");
    assertEquals(undone, ["charge"]);
  });

  it("before it has called what is to be undone waits to be mended", async () => {
    let [broken, works] = [false, false];
    const undone: string[] = [];
    const job = Job.handle(async (flow) => {
      if (broken) throw new Error("a bug");
      const undo = () => {
        if (!works) throw new Error("the bank is down");
        undone.push("charge");
      };
      await flow.step("charge", () => 1, { undo, retry: { delay: [1_000, 1_000] } });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    await cluster.advance(2_000);
    assertEquals((await infoOf(app, run)).status, "undoing");
    broken = true;
    await cluster.advance(10_000);
    works = true;
    await cluster.leap(3_600_000);
    await cluster.advance(1_000);
    assertEquals([undone.length, (await infoOf(app, run)).timeline.some(({ type }) => type === "ended")], [0, false]);
    broken = false;
    await (await infoOf(app, run)).retry();
    assertEquals((await app.result(Job, run, { timeout: 60_000 })).error?.code, "NO");
    assertEquals(undone, ["charge"]);
  });

  it("is no reason to call a run stuck, or due, that goes on behind it", async () => {
    const Tick = Job.signal("Tick");
    let throws = 0;
    const job = Job.handle(async (flow) => {
      for (let n = 1; n < 13; n++) {
        await flow.wait(Tick);
        if (throws < n) {
          throws = n;
          throw new Error("once");
        }
      }
      return "done";
    });
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    for (let n = 1; n < 12; n++) {
      unwrap(await app.tell(Tick, run));
      await cluster.advance(3_000);
      const { status, pending } = await infoOf(app, run);
      assertEquals([throws, status, pending.map(({ name }) => name)], [n, "waiting", [`Tick ${n + 1}`]]);
    }
  });
});

describe("a step of a cancelled run that is to be undone", () => {
  it("is tried again at once, and then after its pauses", async () => {
    let attempts = 0;
    const job = Job.handle(async (flow) => {
      await flow.step("reserve", () => {
        attempts++;
        throw new Error("the warehouse is down");
      }, { undo: () => {}, retry: { delay: [10_000, 10_000] } });
      return "done";
    });
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    await cluster.advance(1_000);
    assertEquals(attempts, 1);
    unwrap(await app.cancel(Job, run, "enough"));
    await cluster.advance(1_000);
    assertEquals(attempts, 2);
    await cluster.advance(60_000);
    assert(attempts > 4 && attempts < 12, `${attempts} attempts`);
  });
});

describe("a cancel", () => {
  it("whose reason leaves no room for the end is TOO_LARGE (it was stored, and the run never ended)", async () => {
    const Child = workflow("Child");
    const [id, maxPayload] = ["€".repeat(128), 65_536];
    const handlers = [
      Job.handle(async (flow) => (await flow.send(Child), "done")),
      Child.handle((flow) => flow.sleep("a minute", 60_000)),
    ];
    await using cluster = await testCluster(1, { handlers, maxPayload, logger: QUIET });
    const app = cluster.app("node-1");
    unwrap(await app.start(Job, undefined, { id }));
    await cluster.advance(1_000);
    const cancelled = await app.cancel(Job, id, "x".repeat(maxPayload - 1_000));
    assertEquals(cancelled.error?.code, "TOO_LARGE");
    const reason = "x".repeat(maxPayload - 9_000);
    unwrap(await app.cancel(Job, id, reason));
    assertEquals((await app.result(Job, id)).error?.message, reason);
  });
});

describe("an operator", () => {
  it("cannot skip the handler itself, nor the time that a run may take", async () => {
    const job = Job.handle(() => Promise.reject(new Error("a bug")));
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    await cluster.advance(1_500);
    const { skip } = await infoOf(app, run);
    for (const name of ["", "@timeout"]) {
      await assertRejects(() => skip(name, null, "because"), Error, `${JSON.stringify(name)} of run ${run} is no step`);
    }
    const journal = new Journal();
    const at = (sequence: number, entry: unknown) =>
      journal.apply({ sequence, time: sequence, holder: "", entries: [entryOf(entry)!], mark: "" });
    at(1, { t: "started", by: "", version: 1, keep: 1 });
    at(2, { t: "skipped", by: "", step: "", reason: "forged" });
    at(3, { t: "failed", step: "", error: { code: "NO", message: "no" } });
    assertEquals(journal.failures.get("")?.attempts, 1);
  });
});

describe("steps of two runs whose ids and names have colons", () => {
  it("do not share an id: each sends for itself", async () => {
    let charged = 0;
    const Charge = command<void, number>("Charge", { idempotent: true });
    const Shop = workflow<string, number>("Shop", { id: (item) => item });
    const shop = Shop.handle(async (flow, item) =>
      unwrap(await flow.send(Charge, undefined, { name: item === "a" ? "b:c" : "c" }))
    );
    await using cluster = await testCluster(1, { handlers: [shop, Charge.handle(() => ++charged)], logger: QUIET });
    const app = cluster.app("node-1");
    for (const id of ["a", "a:b"]) unwrap(await app.result(Shop, unwrap(await app.start(Shop, id))));
    assertEquals(charged, 2);
  });
});
