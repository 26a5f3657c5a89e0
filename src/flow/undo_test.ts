/** Tests of an `undo` that never settles, or whose last attempt fails. */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { fail, type Flow, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { QUIET } from "../../test/support/quiet.ts";
import { infoOf } from "./run_suite.ts";

const Trip = workflow<void, void, "NO">("Trip");
const never = () => new Promise<void>(() => {});

describe("an undo that never settles", () => {
  it("is tried again after the timeout of its step", async () => {
    let attempts = 0;
    const trip = Trip.handle(async (flow) => {
      await flow.step("hotel", () => 1, { undo: () => ++attempts < 3 ? never() : undefined, timeout: 2_000 });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(1, { handlers: trip, logger: QUIET });
    const app = cluster.app("node-1");
    const began = cluster.clock.now();
    const run = unwrap(await app.start(Trip));
    assertEquals((await app.result(Trip, run, { timeout: 60_000 })).error?.code, "NO");
    assertEquals(attempts, 3);
    // 8 s: two attempts of 2 s each, and pauses of up to 1 s and 2 s
    assertLess(cluster.clock.now() - began, 8_000);
  });

  it("is stuck after the attempts of its step, and undone when an operator has it tried again", async () => {
    let works = false;
    const trip = Trip.handle(async (flow) => {
      await flow.step("hotel", () => 1, { undo: () => works ? undefined : never(), retry: { attempts: 2 } });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(1, { handlers: trip, logger: QUIET, node: () => ({ timeout: 3_000 }) });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Trip));
    await cluster.advance(10_000);
    const { status, pending, retry } = await infoOf(app, run);
    assertEquals(status, "stuck");
    assertEquals(pending.map(({ name, attempts, error }) => [name, attempts, error?.code]), [[
      "@undo hotel",
      2,
      "TIMEOUT",
    ]]);
    works = true;
    await retry();
    assertEquals((await app.result(Trip, run)).error?.code, "NO");
  });

  it("that is stuck costs nothing: its handler is not run again until an operator decides", async () => {
    let runs = 0;
    const trip = Trip.handle(async (flow) => {
      runs++;
      await flow.step("hotel", () => 1, { undo: () => Promise.reject(new Error("closed")), retry: { attempts: 1 } });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(2, { handlers: trip, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Trip));
    await cluster.advance(10_000);
    assertEquals((await infoOf(app, run)).status, "stuck");
    const before = runs;
    await cluster.advance(120_000);
    assertEquals(runs, before);
  });

  it("takes as long as its own steps, and its timeout beside them", async () => {
    let attempts = 0;
    const trip = Trip.handle(async (flow) => {
      await flow.step("hotel", () => 1, {
        undo: async () => {
          attempts++;
          await flow.step("call", () => new Promise((resolve) => cluster.clock.after(7_000, () => resolve(1))), {
            timeout: 8_000,
          });
          await new Promise<void>((resolve) => cluster.clock.after(900, resolve));
          await flow.sleep("while", 3_000);
          await new Promise<void>((resolve) => cluster.clock.after(900, resolve));
        },
        timeout: 1_000,
      });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(1, { handlers: trip, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Trip));
    assertEquals((await app.result(Trip, run, { timeout: 60_000 })).error?.code, "NO");
    assertEquals(attempts, 1);
  });

  it("ends when an operator skips it: the others are undone", async () => {
    let undone = 0;
    const trip = Trip.handle(async (flow) => {
      await flow.step("flight", () => 1, { undo: () => void undone++ });
      await flow.step("hotel", () => 1, { undo: never, timeout: 60_000 });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(1, { handlers: trip, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Trip));
    await cluster.advance(1_000);
    await (await infoOf(app, run)).skip("@undo hotel", undefined, "by phone");
    assertEquals((await app.result(Trip, run, { timeout: 10_000 })).error?.code, "NO");
    assertEquals(undone, 1);
  });
});

describe("a stuck undo", () => {
  const undoHotel: [what: string, stuck: string, undo: (flow: Flow, called: () => void) => unknown][] = [
    ["that an operator skips is not run again", "@undo hotel", (_, called) => (called(), fail("NO", "no"))],
    ["at a step named as an undo of another: an operator skips that step", "undo flight", async (flow, called) => {
      await flow.step("undo flight", () => Promise.reject(new Error("no answer")), { retry: { attempts: 1 } });
      called();
    }],
  ];
  for (const [what, stuck, undo] of undoHotel) {
    it(`${what}, and the others are undone`, async () => {
      const calls: string[] = [];
      const trip = Trip.handle(async (flow) => {
        await flow.step("flight", () => 1, { undo: () => void calls.push("flight") });
        await flow.step("hotel", () => 1, { undo: () => undo(flow, () => calls.push("hotel")) });
        return fail("NO", "no");
      });
      await using cluster = await testCluster(1, { handlers: trip, logger: QUIET });
      const app = cluster.app("node-1");
      const run = unwrap(await app.start(Trip));
      await cluster.advance(1_000);
      const { status, pending, skip } = await infoOf(app, run);
      assertEquals([status, pending[0].name], ["stuck", stuck]);
      await skip(stuck, undefined, "by phone");
      assertEquals((await app.result(Trip, run, { timeout: 10_000 })).error?.code, "NO");
      assertEquals(calls, ["hotel", "flight"]);
    });
  }

  it("is one whose own step has no attempts left", async () => {
    const trip = Trip.handle(async (flow) => {
      const call = () => flow.step("call", () => Promise.reject(new Error("busy")), { retry: { attempts: 2 } });
      await flow.step("hotel", () => 1, { undo: call });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(1, { handlers: trip, logger: QUIET });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Trip));
    await cluster.advance(5_000);
    const { status, pending } = await infoOf(app, run);
    assertEquals([status, pending[0].name, pending[0].attempts], ["stuck", "call", 2]);
  });
});

describe("a cancelled run", () => {
  for (const step of ["taxi", "undo hotel"]) {
    it(`with the stuck step "${step}" is undoing, and undone (it was stuck)`, async () => {
      const closed = Promise.withResolvers<void>();
      let undone = 0;
      const undo = async () => {
        undone++;
        await closed.promise;
      };
      const trip = Trip.handle(async (flow) => {
        await flow.step("hotel", () => 1, { undo });
        await flow.step(step, () => Promise.reject(new Error("no answer")), { retry: { attempts: 1 } });
      });
      await using cluster = await testCluster(1, { handlers: trip, logger: QUIET });
      const app = cluster.app("node-1");
      const run = unwrap(await app.start(Trip));
      await cluster.advance(1_000);
      assertEquals((await infoOf(app, run)).status, "stuck");
      unwrap(await app.cancel(Trip, run, "it rains"));
      await cluster.advance(1_000);
      const { status, pending } = await infoOf(app, run);
      assertEquals({ status, pending, undone }, { status: "undoing", pending: [], undone: 1 });
      closed.resolve();
      assertEquals((await app.result(Trip, run)).error?.message, "it rains");
    });
  }
});
