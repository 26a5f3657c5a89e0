/**
 * Cancelled runs with a step that another process has begun, and that the handler of this process does not call: the
 * step is undone, or an operator learns that it is not.
 */
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { type Catga, type Flow, unwrap, workflow } from "@catga/catga";
import { type TestCluster, testCluster } from "@catga/catga/testing";
import { QUIET } from "../../test/support/quiet.ts";
import { infoOf } from "./run_suite.ts";

const Order = (version = 1) => workflow<void, void>("Order", { version });
const Go = Order().signal("Go");

describe("a step that a process began before it died, and that a handler does not get to because it throws", () => {
  it("is undone when the run is cancelled, though another branch goes on (the run ended without it)", async () => {
    const did: string[] = [];
    let throws = true;
    await using cluster = await testCluster(["a", "b"], {
      logger: QUIET,
      node: (id) => ({
        handlers: Order().handle(async (flow) => {
          const { clock } = cluster.app(id);
          const undo = (name: string) => ({ undo: () => void did.push(`undo ${name}`) });
          const slow = async () => {
            await clock.sleep(id === "a" ? 60_000 : 3_000);
            did.push(`slow ${id}`);
          };
          await Promise.race([flow.step("quick", () => 1), flow.step("slow", slow, undo("slow"))]);
          if (id === "b" && throws) throw new Error("not now");
          const pay = async () => {
            did.push(`pay ${id}`);
            if (id === "a") await clock.sleep(60_000);
          };
          await flow.step("pay", pay, undo("pay"));
          await flow.wait(Go);
        }),
      }),
    });
    const app = cluster.app("b");
    const run = unwrap(await cluster.app("a").start(Order()));
    await cluster.advance(1_000);
    await cluster.kill("a");
    while (!(await infoOf(app, run)).timeline.some(({ by, type }) => type === "failed" && by.startsWith("b."))) {
      await cluster.advance(100);
    }
    unwrap(await app.cancel(Order(), run, "enough"));
    await cluster.advance(10_000);
    assertEquals(did, ["pay a", "slow b"]);
    assertEquals((await infoOf(app, run)).status === "failed", false);
    throws = false;
    assertEquals((await app.result(Order(), run, { timeout: 60_000 })).error?.code, "CANCELLED");
    assertEquals(did, ["pay a", "slow b", "pay b", "undo pay", "undo slow"]);
  });
});

/** A handler whose payment step fails until `works` returns true. */
const paying = async (flow: Flow, did: string[], works: () => boolean) => {
  const pay = () => {
    did.push("pay");
    if (!works()) throw new Error("no answer");
  };
  await flow.step("pay", pay, { undo: () => void did.push("undo pay"), retry: { delay: [20_000, 20_000] } });
  await flow.wait(Go);
};

/** Starts a run, changes its handler a second later, and cancels it. Resolves a second after that. */
async function cancelAfter(cluster: TestCluster, change: () => void): Promise<{ app: Catga; run: string }> {
  const app = cluster.app("node-1");
  const run = unwrap(await app.start(Order()));
  await cluster.advance(1_000);
  change();
  unwrap(await app.cancel(Order(), run, "enough"));
  await cluster.advance(1_000);
  return { app, run };
}

describe("a step with an undo that has failed, and that the handler of a cancelled run does not call any more", () => {
  const changed: [what: string, handler: (flow: Flow) => Promise<unknown>][] = [
    ["waits", (flow) => flow.wait(Go)],
    ["returns", () => Promise.resolve()],
    ["would begin another step", (flow) => flow.step("ship", () => 1)],
  ];
  for (const [what, handler] of changed) {
    it(`has the run stuck, if the handler ${what} (the run ended, though the step may be done)`, async () => {
      const did: string[] = [];
      let [isChanged, works] = [false, false];
      await using cluster = await testCluster(1, {
        logger: QUIET,
        handlers: Order().handle(async (flow) => {
          await (isChanged ? handler(flow) : paying(flow, did, () => works));
        }),
      });
      const { app, run } = await cancelAfter(cluster, () => isChanged = true);
      const { status, pending: [{ name, error }], timeline } = await infoOf(app, run);
      assertEquals([status, name], ["stuck", "pay"]);
      assertMatch(
        error!.message,
        /does not get to pay, which may have to be undone: deploy a handler that calls pay, and retry, or skip/,
      );
      await cluster.advance(120_000);
      assertEquals((await infoOf(app, run)).timeline.length, timeline.length);
      [isChanged, works] = [false, true];
      await (await infoOf(app, run)).retry();
      assertEquals((await app.result(Order(), run)).error?.code, "CANCELLED");
      assertEquals(did, ["pay", "pay", "undo pay"]);
    });
  }

  it("may be skipped: the run ends", async () => {
    let isChanged = false;
    const did: string[] = [];
    await using cluster = await testCluster(1, {
      logger: QUIET,
      handlers: Order().handle((flow) => isChanged ? flow.wait(Go) as Promise<void> : paying(flow, did, () => false)),
    });
    const { app, run } = await cancelAfter(cluster, () => isChanged = true);
    await (await infoOf(app, run)).skip("pay", undefined, "by hand");
    assertEquals((await app.result(Order(), run)).error?.code, "CANCELLED");
    assertEquals(did, ["pay"]);
  });
});

describe("a step with an undo that had begun when the handler threw, and whose process has died", () => {
  for (const by of ["cancelled", "over its time"]) {
    it(`has the run stuck that is ${by}, if the handler does not call it any more (the run ended)`, async () => {
      const Limited = workflow<void, void>("Limited", by === "cancelled" ? {} : { timeout: 10_000 });
      const did: string[] = [];
      let isChanged = false;
      await using cluster = await testCluster(["a", "b"], {
        logger: QUIET,
        node: (id) => ({
          handlers: Limited.handle(async (flow) => {
            if (isChanged) return await flow.wait(Limited.signal("Go"));
            const pay = async () => {
              did.push(`pay ${id}`);
              if (id === "a") await cluster.app(id).clock.sleep(60_000);
            };
            const paid = flow.step("pay", pay, { undo: () => void did.push("undo pay") });
            await flow.step("check", () => 1);
            if (id === "a") throw new Error("not now");
            await paid;
            await flow.wait(Limited.signal("Go"));
          }),
        }),
      });
      const app = cluster.app("b");
      const run = unwrap(await cluster.app("a").start(Limited));
      await cluster.advance(500);
      await cluster.kill("a");
      isChanged = true;
      if (by === "cancelled") unwrap(await app.cancel(Limited, run, "enough"));
      await cluster.advance(30_000);
      const { status, pending: [{ name }] } = await infoOf(app, run);
      assertEquals([status, name, did], ["stuck", "pay", ["pay a"]]);
      isChanged = false;
      await (await infoOf(app, run)).retry();
      assertEquals((await app.result(Limited, run)).error?.code, by === "cancelled" ? "CANCELLED" : "TIMEOUT");
      assertEquals(did, ["pay a", "pay b", "undo pay"]);
    });
  }
});

describe("a step with an undo that only another version of the workflow calls", () => {
  /** Nodes of version 1, which lacks the payment, and of version 2. */
  const nodes = (did: string[], fails: boolean, ...ids: string[]) => {
    let works = !fails;
    const cluster = testCluster(ids, {
      logger: QUIET,
      node: (id) => ({
        handlers: Order(Number(id[1])).handle((flow) =>
          id[1] === "1" ? flow.wait(Go) as Promise<void> : paying(flow, did, () => works)
        ),
      }),
    });
    return { cluster, mend: () => works = true };
  };
  for (const [state, fails] of [["has failed", true], ["is done", false]] as const) {
    it(`and that ${state}: the run waits for that version, which undoes it (the run ended without it)`, async () => {
      const did: string[] = [];
      const { cluster: starting, mend } = nodes(did, fails, "v1", "v2");
      await using cluster = await starting;
      const app = cluster.app("v1");
      const run = unwrap(await cluster.app("v2").start(Order(2)));
      await cluster.advance(1_000);
      await cluster.kill("v2");
      unwrap(await app.cancel(Order(), run, "enough"));
      await cluster.advance(20_000);
      assertEquals([(await infoOf(app, run)).status, did], ["undoing", ["pay"]]);
      mend();
      await cluster.start("v2b");
      assertEquals((await app.result(Order(), run, { timeout: 120_000 })).error?.code, "CANCELLED");
      assertEquals(did, fails ? ["pay", "pay", "undo pay"] : ["pay", "undo pay"]);
    });
  }
});
