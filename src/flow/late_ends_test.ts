/**
 * Tests of calls that end late, or on another node, while a run ends: children, cancels, other branches of the handler,
 * and steps of an `undo`.
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { fail, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { delay } from "../ports/clock.ts";
import { infoOf } from "./run_suite.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Job = workflow<void, string, "NO">("Job");
const Kid = workflow<void, string>("Kid");
const Other = workflow<void, string>("Other");
const never = () => new Promise<string>(() => {});

type Shown = Awaited<ReturnType<typeof infoOf>>;
const entriesOf = ({ timeline }: Shown) => timeline.map(({ type, name }) => `${type} ${name}`.trim());

describe("a run that another node takes over", () => {
  it("has nothing behind its end: the other branch of a race begins no more", async () => {
    const job = Job.handle((flow) =>
      Promise.race([
        flow.send(Kid).then((kid) => unwrap(kid)),
        flow.send(Other).then(() => flow.sleep("then", 1_000)).then(() => "late"),
      ])
    );
    const nap = (name: typeof Kid) => name.handle((flow) => flow.sleep("nap", 60_000).then(() => "x"));
    await using cluster = await testCluster(["one", "kids"], {
      logger: QUIET,
      node: (id) => ({ handlers: id === "kids" ? [nap(Kid), nap(Other)] : [job] }),
    });
    const app = cluster.app("kids");
    const run = unwrap(await cluster.app("one").start(Job));
    await cluster.advance(8_000);
    cluster.kill("one");
    await cluster.advance(1_000);
    await cluster.leap(60_000);
    await cluster.advance(8_000);
    await cluster.start("two", { handlers: [job] });
    assertEquals(unwrap(await app.result(Job, run, { timeout: 60_000 })), "x");
    await cluster.advance(10_000);
    assertEquals(entriesOf(await infoOf(app, run, "Job")).at(-1), "ended");
    assertEquals((await app.cancel(Job, run, "too late")).error?.code, "NO_RUN");
  });

  it("ends, whatever child was started and is not recorded", async () => {
    const Grand = workflow<void, string>("Grand");
    const grand = Grand.handle(async (flow) => unwrap(await flow.send(Job)));
    const kid = Kid.handle((flow) => flow.step("s", () => "x"));
    const job = Job.handle((flow) =>
      Promise.race([
        flow.send(Kid).then((kid) => unwrap(kid)),
        flow.step("quick", never, { timeout: 600_000 }),
      ])
    );
    let found = false;
    for (let killAt = 150; killAt < 400 && !found; killAt += 20) {
      await using cluster = await testCluster(["one", "kids"], {
        logger: QUIET,
        node: (id) => ({ handlers: id === "kids" ? [kid, grand] : [job] }),
      });
      const kids = cluster.app("kids");
      cluster.network.faults = { delay: 80 };
      unwrap(await kids.start(Grand, undefined, { id: "g" }));
      await cluster.advance(killAt);
      cluster.kill("one");
      cluster.network.faults = {};
      await cluster.advance(20_000);
      const info = await infoOf(kids, "Grand:g:Job", "Job").catch(() => undefined);
      const entries = info === undefined ? [] : entriesOf(info);
      found = entries.includes("told Kid") && !entries.includes("child Kid");
      if (!found) continue;
      await info!.skip("quick", "by hand", "no need");
      await cluster.start("two", { handlers: [job] });
      assertEquals(unwrap(await kids.result(Grand, "g", { timeout: 60_000 })), "by hand");
    }
    assert(found, "no moment between the start of a child and its record");
  });
});

describe("a run that is cancelled", () => {
  it("while it sees an outcome that is not stored begins nothing that follows from it", async () => {
    const did: string[] = [];
    const job = Job.handle(async (flow) => {
      unwrap(await flow.send(Kid));
      await flow.step("x", async () => {
        did.push("x");
        await cluster.app("op").cancel(Job, flow.id, "enough");
      });
      await flow.step("charge", () => void did.push("charge"), { undo: () => void did.push("refund") });
      return "done";
    });
    const kid = Kid.handle((flow) => flow.sleep("nap", 20_000).then(() => "kid"));
    await using cluster = await testCluster(["w", "op"], {
      logger: QUIET,
      node: (id) => ({ handlers: id === "w" ? [job] : [kid] }),
    });
    const run = unwrap(await cluster.app("w").start(Job));
    await cluster.advance(10_000);
    cluster.network.faults = { delay: 20 };
    assertEquals((await cluster.app("op").result(Job, run, { timeout: 60_000 })).error?.code, "CANCELLED");
    assertEquals(did, ["x"]);
  });

  it("has all of it undone when one branch throws, though others go further behind that", async () => {
    const undone: string[] = [];
    const job = Job.handle(async (flow) => {
      const step = (name: string) => flow.step(name, () => {}, { undo: () => void undone.push(name) });
      await Promise.all([
        step("a").then(() => step("late")).then(() => Promise.reject(new Error("a bug"))),
        step("b").then(() => step("c")),
      ]);
      return "done";
    });
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    await cluster.advance(120_000);
    const { skip } = await infoOf(app, run);
    await skip("misspelt", 1, "a slip");
    unwrap(await app.cancel(Job, run, "enough"));
    assertEquals((await app.result(Job, run, { timeout: 60_000 })).error?.code, "CANCELLED");
    const done = entriesOf(await infoOf(app, run)).flatMap((each) => each.startsWith("done ") ? [each.slice(5)] : []);
    assertEquals(undone, done.toReversed());
  });

  for (const what of ["child", "step"] as const) {
    it(`waits to be mended if its handler throws before it calls a ${what} that has begun`, async () => {
      let [broken, works] = [false, false];
      const undone: string[] = [];
      const job = Job.handle(async (flow) => {
        await flow.step("first", () => {});
        if (broken) throw new Error("a bug");
        if (what === "child") return unwrap(await flow.send(Kid));
        return await flow.step("charge", () => {
          if (works) return "charged";
          throw new Error("no answer");
        }, { undo: () => void undone.push("charge"), retry: { delay: [20_000, 20_000] } });
      });
      const kid = Kid.handle((flow) => flow.sleep("nap", 3_000_000).then(() => "kid"));
      await using cluster = await testCluster(1, { handlers: [job, kid], logger: QUIET });
      const app = cluster.app("node-1");
      const run = unwrap(await app.start(Job, undefined, { id: "r" }));
      await cluster.advance(10_000);
      broken = works = true;
      unwrap(await app.cancel(Job, run, "enough"));
      await cluster.advance(20_000);
      assertEquals((await infoOf(app, run, "Job")).status, "undoing");
      broken = false;
      await (await infoOf(app, run, "Job")).retry();
      assertEquals((await app.result(Job, run, { timeout: 60_000 })).error?.code, "CANCELLED");
      if (what === "step") assertEquals(undone, ["charge"]);
      else assertEquals((await app.result(Kid, "Job:r:Kid")).error?.code, "CANCELLED");
    });
  }

  it("by its limit of time is not done, whenever its last step ends", async () => {
    const Limited = workflow<void, string>("Limited", { timeout: 300 });
    for (let ms = 296; ms < 316; ms += 2) {
      const job = Limited.handle(async (flow) => {
        await flow.step("work", () => delay(cluster.clock, ms));
        return "done";
      });
      await using cluster = await testCluster(1, { seed: ms, handlers: job, logger: QUIET });
      cluster.network.faults = { delay: 30 };
      const app = cluster.app("node-1");
      const run = unwrap(await app.start(Limited));
      const result = await app.result(Limited, run, { timeout: 60_000 });
      const cancelled = entriesOf(await infoOf(app, run)).includes("cancelled");
      assertEquals(result.ok, !cancelled, `after ${ms} ms`);
    }
  });

  it("is undone, though what has ended behind the cancel is nobody's", async () => {
    let tries = 0;
    const job = Job.handle(async (flow) => {
      await flow.step("book", () => delay(cluster.clock, 500), {
        undo: async () => {
          await Promise.race([
            flow.step("call A", () => {}),
            flow.step("call B", () => Promise.reject(new Error("B is down")), { retry: { delay: [2_000, 2_000] } }),
          ]);
          if (tries++ === 0) throw new Error("once");
        },
      });
      return "done";
    });
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    await cluster.advance(100);
    unwrap(await app.cancel(Job, run, "enough"));
    assertEquals((await app.result(Job, run, { timeout: 60_000 })).error?.code, "CANCELLED");
  });
});

describe("a handler that fails", () => {
  it("beside a branch that polls without end is undone all the same", async () => {
    let undone = 0;
    const job = Job.handle(async (flow) => {
      await flow.step("charge", () => 1, { undo: () => void undone++ });
      const poll = async () => {
        for (let n = 1;; n++) await flow.step(`poll ${n}`, () => n).then(() => flow.sleep(`pause ${n}`, 1_000));
      };
      void poll();
      await flow.sleep("a moment", 3_000);
      return fail("NO", "no");
    });
    await using cluster = await testCluster(1, { handlers: job, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    assertEquals((await app.result(Job, run, { timeout: 60_000 })).error?.code, "NO");
    assertEquals(undone, 1);
  });
});
