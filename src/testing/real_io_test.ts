import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { command, event, unwrap, workflow } from "../../mod.ts";
import { testCluster } from "./mod.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

describe("real input and output in a test cluster", () => {
  it("io: no virtual time passes while a handler waits for it, however long that takes", async () => {
    const Read = command<void, string>("Read", { timeout: 50 });
    const Stored = event<void>("Stored", { durable: true });
    const holds: (<T>(promise: Promise<T>) => Promise<T>)[] = [];
    const slow = () => holds[0](wait(200, "read"));
    await using cluster = await testCluster(2, {
      handlers: [Read.handle(slow), Stored.on(async () => void await slow())],
    });
    holds.push((promise) => cluster.io(promise));
    const [app] = cluster.apps;
    const began = cluster.clock.monotonic();
    assertEquals(unwrap(await app.send(Read)), "read");
    unwrap(await app.publish(Stored));
    await cluster.handled(1_000);
    const passed = cluster.clock.monotonic() - began;
    assert(passed < 1_000, `${passed} ms`);
  });

  it("io: settles as its promise does", async () => {
    await using cluster = await testCluster(1);
    assertEquals(await cluster.io(Promise.resolve(7)), 7);
    await assertRejects(() => cluster.io(Promise.reject(new Error("no database"))), Error, "no database");
    await using real = await testCluster(1, { time: "real" });
    assertEquals(await real.io(Promise.resolve(7)), 7);
  });

  it("handled: names the handler that waits, and io", async () => {
    const Stored = event<void>("Stored", { durable: true });
    const forever = Promise.withResolvers<void>();
    await using cluster = await testCluster(1, { handlers: Stored.on(() => forever.promise), logger: quiet });
    unwrap(await cluster.apps[0].publish(Stored));
    const { message } = await assertRejects(() => cluster.handled(2_000), Error);
    assertMatch(message, /the handler of Stored in Stored on node-1 has not ended \(.*cluster\.io\(promise\)/);
    forever.resolve();
  });

  it("leap: in real time, too, a workflow that sleeps for a week goes on", async () => {
    const Week = workflow<void, string>("Week");
    const handlers = Week.handle(async (flow) => {
      await flow.sleep("a week", 7 * 86_400_000);
      return "a week later";
    });
    await using cluster = await testCluster(1, { time: "real", handlers });
    const [app] = cluster.apps;
    const run = unwrap(await app.start(Week));
    for (let status = ""; status !== "waiting";) {
      for await (const info of app.runs({ id: run })) status = info.status;
    }
    const before = cluster.clock.now();
    await cluster.leap(7 * 86_400_000);
    assert(cluster.clock.now() - before >= 7 * 86_400_000);
    assertEquals(unwrap(await app.result(Week, run)), "a week later");
  });
});
