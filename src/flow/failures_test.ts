/**
 * Tests of failures in steps: failures that handlers chose come back whole, and retryable ones lead to another attempt.
 */
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { type Catga, catga, command, entity, fail, type Flow, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { pendingText } from "../contract/calls/flow.ts";
import type { LogFields } from "../contract/nodes/observer.ts";
import { eventually } from "../../test/support/eventually.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { infoOf } from "./run_suite.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const skus = (count: number) => Array.from({ length: count }, (_, i) => `sku-${i}`);
const outOfStock = (n: number) => fail("OUT_OF_STOCK", "m".repeat(n), { details: { skus: skus(n) } });

describe("failures of a workflow", () => {
  it("a failure comes back whole, from flow.send, flow.step and result (details beyond 4,096 characters vanished)", async () => {
    const Check = command<number, void, "OUT_OF_STOCK">("Check", { idempotent: true });
    const Order = workflow<number, unknown>("Order");
    const Fails = workflow<number, void, "OUT_OF_STOCK">("Fails");
    const seen = new Map<string, unknown>();
    const handlers = [
      Check.handle((n) => outOfStock(n)),
      Order.handle(async (flow, n) => {
        seen.set(`send ${n}`, (await flow.send(Check, n)).error?.toJSON());
        const returned: unknown = await flow.step("step", () => outOfStock(n) as unknown);
        seen.set(`step ${n}`, (returned as ReturnType<typeof outOfStock>).error.toJSON());
      }),
      Fails.handle((_, n) => Promise.resolve(outOfStock(n))),
    ];
    await using app = await catga({ handlers, logger: quiet });
    for (const n of [10, 500, 1_100, 20_000]) {
      const expected = { ...outOfStock(n).error.toJSON() };
      unwrap(await app.result(Order, unwrap(await app.start(Order, n))));
      assertEquals(seen.get(`send ${n}`), expected);
      assertEquals(seen.get(`step ${n}`), expected);
      assertEquals((await app.result(Fails, unwrap(await app.start(Fails, n)))).error?.toJSON(), expected);
    }
  });

  it("a start that the full store refuses names the workflow (its error did not)", async () => {
    const Order = workflow("Order");
    await using cluster = await testCluster(1, { handlers: Order.handle(() => {}) });
    const app = cluster.app("node-1");
    unwrap(await app.result(Order, unwrap(await app.start(Order))));
    cluster.network.log.begin("full");
    const { error } = await app.start(Order);
    cluster.network.log.end("full");
    assertMatch(error!.message, /^workflow Order was not started: .*full/);
  });

  it("a call of flow in the function of a step is refused at once, and the run is stuck (it worked until it was retried)", async () => {
    const Go = command<void, string>("Go", { idempotent: true });
    const calls: Record<string, (flow: Flow) => unknown> = {
      step: (flow) => flow.step("inner", () => {}),
      "a step after a pause": async (flow) => {
        await Promise.resolve();
        return await flow.step("inner", () => {});
      },
      send: (flow) => flow.send(Go),
      sleep: (flow) => flow.sleep("inner", 10),
      stage: (flow) => flow.stage("inner"),
    };
    const Nested = workflow<string, unknown>("Nested");
    let inner = 0;
    const handlers = [
      Go.handle(() => `${inner++}`),
      Nested.handle((flow, kind) => flow.step("outer", () => calls[kind](flow))),
    ];
    await using app = await catga({ handlers, logger: quiet });
    for (const kind of Object.keys(calls)) {
      const run = unwrap(await app.start(Nested, kind));
      await eventually("the run is stuck", async () => (await infoOf(app, run)).status === "stuck");
      const { pending, timeline } = await infoOf(app, run);
      assertEquals(pending.map(({ name, attempts }) => [name, attempts]), [["outer", 1]], kind);
      assertMatch(pending[0].error!.message, /in the function of step "outer"/);
      assertEquals(timeline.map(({ type }) => type), ["started", "failed"]);
    }
    assertEquals(inner, 0);
  });

  it("an undo, a step behind another one, and a run that a step starts may have steps", async () => {
    const Inner = workflow<void, string>("Inner");
    const Outer = workflow<void, string>("Outer");
    const undone: string[] = [];
    let app: Catga | undefined = undefined;
    const handlers = [
      Inner.handle((flow) => flow.step("outer", () => "inner")),
      Outer.handle(async (flow) => {
        const undo = async () => void await flow.step("undo outer", () => undone.push("outer"));
        const inner = await flow.step("outer", async () => {
          const run = unwrap(await app!.start(Inner, undefined, { id: "inner" }));
          return unwrap(await app!.result(Inner, run));
        }, { undo });
        await flow.step("behind", () => {});
        return fail("NO", inner);
      }),
    ];
    await using own = app = await catga({ handlers, logger: quiet });
    const { error } = await own.result(Outer, unwrap(await own.start(Outer)));
    assertEquals([error?.code, error?.message, undone], ["NO", "inner", ["outer"]]);
  });

  it("a failure that no message of the store can hold is TOO_LARGE, and the run is stuck", async () => {
    const Check = command<number, void, "OUT_OF_STOCK">("Check", { idempotent: true });
    const Sends = workflow("Sends");
    const Fails = workflow<void, void, "OUT_OF_STOCK">("Fails");
    const handlers = [
      Check.handle((n) => outOfStock(n)),
      Sends.handle(async (flow) => void await flow.send(Check, 200_000)),
      Fails.handle(() => Promise.resolve(outOfStock(200_000))),
    ];
    await using app = await catga({ handlers, logger: quiet });
    for (const [Stuck, step] of [[Sends, "Check"], [Fails, ""]] as const) {
      const run = unwrap(await app.start(Stuck));
      await eventually("the run is stuck", async () => (await infoOf(app, run)).status === "stuck");
      const { pending } = await infoOf(app, run);
      assertEquals(pending.map(({ name, error }) => [name, error?.code]), [[step, "TOO_LARGE"]]);
      assertMatch(pending[0].error!.message, /^the failure OUT_OF_STOCK of .* has \d+ characters with its details/);
    }
  });

  it("details that cannot be sent are replaced by a note, like in an answer from another node (they vanished)", async () => {
    const Fails = workflow<void, void, "ODD">("Fails");
    const handlers = Fails.handle(() => Promise.resolve(fail("ODD", "odd", { details: (() => 1) as never })));
    await using app = await catga({ handlers, logger: quiet });
    const { error } = await app.result(Fails, unwrap(await app.start(Fails)));
    assertEquals([error?.code, error?.details], ["ODD", "(the details could not be sent)"]);
  });

  it("a retryable failure is tried again, and logged once (it was taken for a decision)", async () => {
    const Charge = command<void, string, "DOWN">("Charge", { idempotent: true });
    const Order = workflow<void, readonly string[]>("Order");
    const calls = { send: 0, step: 0 };
    const lines: string[] = [];
    const note = (text: string, { type }: LogFields) => void (type === "run-failed" && lines.push(text));
    const down = () => fail("DOWN", "503", { retryable: true });
    const handlers = [
      Charge.handle(() => ++calls.send > 3 ? "charged" : down()),
      Order.handle(async (flow) => [
        unwrap(await flow.send(Charge)),
        await flow.step("step", () => ++calls.step > 3 ? "done" : down()) as string,
      ]),
    ];
    await using cluster = await testCluster(2, { handlers, logger: { ...quiet, warn: note, error: note } });
    const app = cluster.app("node-1");
    assertEquals(unwrap(await app.result(Order, unwrap(await app.start(Order)))), ["charged", "done"]);
    assertEquals(calls, { send: 4, step: 4 });
    assertEquals(lines.length, 2); // one line for each outage
  });

  it("a retryable failure of the last attempt is the outcome of its step", async () => {
    const Charge = command<void, string, "DOWN">("Charge", { idempotent: true });
    const Order = workflow<void, string>("Order");
    let calls = 0;
    const handlers = [
      Charge.handle(() => (calls++, fail("DOWN", "503", { retryable: true, details: { after: 5 } }))),
      Order.handle(async (flow) => {
        const { error } = await flow.send(Charge, undefined, { retry: { attempts: 3, delay: [1, 1] } });
        return `${error?.code} ${error?.retryable} ${JSON.stringify(error?.details)}`;
      }),
    ];
    await using cluster = await testCluster(1, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    assertEquals(unwrap(await app.result(Order, unwrap(await app.start(Order)))), 'DOWN true {"after":5}');
    assertEquals(calls, 3);
  });

  it("an undo that returns a retryable failure is tried again, one that returns another is stuck", async () => {
    const Order = workflow<boolean, void, "NO">("Order");
    let calls = 0;
    const handlers = Order.handle(async (flow, retryable) => {
      await flow.step("charge", () => 1, {
        undo: () => ++calls > 2 ? undefined : fail("DOWN", "503", { retryable }),
      });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(1, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Order, true));
    assertEquals((await app.result(Order, run)).error?.code, "NO");
    assertEquals(calls, 3);
    calls = 0;
    const stuck = unwrap(await app.start(Order, false));
    await cluster.advance(1_000);
    assertEquals((await infoOf(app, stuck)).status, "stuck");
  });

  it("the cause of an attempt is kept with it, and logged once (its line named the log of another node)", async () => {
    const Charge = command<void>("Charge", { idempotent: true });
    const Order = workflow<"step" | "send">("Order", { id: (where) => where });
    const broken = () => {
      throw new Error("503 of the provider", { cause: new Error("connection refused") });
    };
    const lines: string[] = [];
    const note = (text: string) => void lines.push(text);
    const handlers = [
      Charge.handle(broken),
      Order.handle(async (flow, where) => {
        // the pauses are long, so that no second attempt begins during the test
        const retry = { delay: [600_000, 600_000] } as const;
        if (where === "step") await flow.step("charge", broken, { retry });
        else unwrap(await flow.send(Charge, undefined, { name: "charge", retry }));
      }),
    ];
    for (const causes of [true, false]) {
      await using app = await catga({ handlers, causes, logger: { ...quiet, warn: note, error: note } });
      for (const where of ["step", "send"] as const) {
        lines.length = 0;
        const run = unwrap(await app.start(Order, where));
        await eventually("an attempt has failed", async () => (await infoOf(app, run)).pending[0]?.attempts === 1);
        const { pending: [{ error }] } = await infoOf(app, run);
        const first = error?.cause?.split("\n")[0];
        assertEquals(first, causes ? "Error: 503 of the provider" : undefined);
        assertEquals(error?.cause?.includes("caused by Error: connection refused"), causes ? true : undefined);
        await eventually("its line in the log", () => lines.length > 0);
        assertEquals(lines.length, 1);
        const text = pendingText((await infoOf(app, run)).pending[0]);
        const expected = causes || where === "step" ? "503 of the provider" : "the handler of Charge threw on node";
        assertEquals(text.includes(expected), true, text);
      }
    }
  });
});

describe("a command of an entity whose answer was lost", () => {
  // a node computed from its own clock how far back earlier attempts are looked for
  for (const ahead of [3_600_000, -60_000, -3_600_000]) {
    it(`is applied once, when its run goes on 2.5 min later on a node whose clock is ${ahead / 1_000} s ahead`, async () => {
      const Ledger = entity("Ledger", { initial: () => 0 });
      const Added = Ledger.event("Added", (count) => count + 1);
      const Add = command<void, number>("Add", { key: () => "k", timeout: 1_000 });
      const Job = workflow<void, number>("Job");
      await using cluster = new MemoryCluster();
      const { clock, network } = cluster;
      let isApplied = false;
      const handlers = Ledger.handle(Add, (ledger) => {
        ledger.emit(Added);
        if (!isApplied) network.cut("driver");
        isApplied = true;
        return ledger.state;
      });
      await cluster.start("before", { handlers });
      const driver = await cluster.start("driver", {
        handlers: Job.handle(async (flow) => unwrap(await flow.send(Add))),
      });
      network.skew("driver", ahead);
      const run = unwrap(await clock.until(driver.start(Job)));
      await clock.advance(1_000);
      assertEquals(isApplied, true);
      // what the next node knows of the command is in the stream
      cluster.kill("before");
      await clock.advance(150_000);
      const after = await cluster.start("after", { handlers });
      network.restore("driver");
      assertEquals(unwrap(await clock.until(driver.result(Job, run, { timeout: 300_000 }))), 1);
      assertEquals((await clock.until(after.load(Ledger, "k"))).version, 1);
    });
  }
});
