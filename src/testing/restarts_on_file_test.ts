/** A test cluster of one node on a file: a restart at any moment, after which everything goes on at once. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Catga, command, event, unwrap, workflow } from "../../mod.ts";
import { testCluster } from "./test_cluster.ts";

const Paid = event<{ i: number }>("Paid", { durable: true });
const Charge = command<number, number>("Charge", { idempotent: true });
const Trip = workflow<string, string>("Trip", { id: (id) => id });

/** A program whose handlers hang until its process was killed once. */
function program() {
  const done: string[] = [];
  const state = { hangs: true };
  const hang = () => state.hangs ? new Promise<never>(() => {}) : undefined;
  const handlers = [
    Paid.on(async ({ i }) => {
      await hang();
      done.push(`paid ${i}`);
    }, { name: "billing" }),
    Charge.handle(async (cents) => {
      await hang();
      done.push("charged");
      return cents;
    }),
    Trip.handle(async (flow, id) => {
      await flow.step("book", () => void done.push("booked"));
      await flow.step("fly", async () => {
        await hang();
        done.push("flown");
      });
      return id;
    }),
  ];
  return { done, state, handlers };
}

describe("testCluster({ file: true })", () => {
  it("a restart on the file: events, runs, locks and the same id go on within half a second of its time", async () => {
    const { done, state, handlers } = program();
    await using cluster = await testCluster(1, { file: true, handlers });
    const begin = async (app: Catga) => {
      unwrap(await app.publish(Paid, { i: 1 }));
      unwrap(await app.start(Trip, "t"));
      await app.lock("order");
    };
    const app = cluster.app("node-1");
    await begin(app);
    void app.send(Charge, 5, { id: "c-1" });
    await cluster.advance(1_000);
    assertEquals(done, ["booked"]);
    cluster.kill("node-1");
    state.hangs = false;
    const next = await cluster.start("node-1");
    const started = cluster.clock.monotonic();
    const lock = await next.lock("order", { timeout: 60_000 });
    assertEquals(unwrap(await next.send(Charge, 5, { id: "c-1" })), 5);
    assertEquals(unwrap(await next.result(Trip, "t", { timeout: 60_000 })), "t");
    await cluster.handled();
    assertEquals([...done].sort(), ["booked", "charged", "flown", "paid 1"]);
    const took = cluster.clock.monotonic() - started;
    assert(took <= 500, `${took} ms`);
    await lock.release();
  });

  it("a kill at each of many moments loses nothing that was acknowledged", async () => {
    for (let moment = 0; moment < 40; moment++) {
      const handled: number[] = [];
      const handlers = Paid.on(({ i }) => void handled.push(i), { name: "billing" });
      await using cluster = await testCluster(1, { file: true, handlers, time: "manual" });
      const acknowledged: number[] = [];
      const app = cluster.app("node-1");
      for (let i = 0; i < 5; i++) {
        void app.publish(Paid, { i }).then(({ ok }) => ok && acknowledged.push(i));
        await cluster.advance(1);
        // a moment is some microtasks after a publication
        for (let turn = 0; i * 8 + turn === moment; turn++) await Promise.resolve();
        if (i === Math.floor(moment / 8)) break;
      }
      cluster.kill("node-1");
      const before = [...acknowledged];
      await cluster.until(cluster.start("node-1"));
      await cluster.handled();
      assertEquals(before.filter((i) => !handled.includes(i)), [], `moment ${moment}`);
    }
  });

  it("has one process at a time", async () => {
    await assertRejects(() => testCluster(2, { file: true }), RangeError);
    await using cluster = await testCluster(1, { file: true });
    await assertRejects(() => cluster.start("node-2"), TypeError);
    assertThrows(() => cluster.app("node-2"), TypeError);
  });
});
