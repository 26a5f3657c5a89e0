/**
 * Tests of the node's places for concurrent messages: which messages of the log take one. With whole apps in memory.
 */
import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { command, event, query } from "../contract/declaration/definition.ts";
import { testCluster } from "../testing/mod.ts";

const Placed = event<{ n: number }>("Placed", { durable: true });
const Ping = query<void, string>("Ping");
const ping = Ping.handle(() => "pong");

describe("a turn of a node", () => {
  it("is not taken by messages of the log that wait for their handler's own (others waited with them)", async () => {
    let handled = 0;
    const place = Placed.on(async () => {
      await cluster.app("node-1").clock.sleep(1_000);
      handled++;
    }, { concurrency: 1 });
    await using cluster = await testCluster(3, { handlers: [place, ping], concurrency: 2 });
    const app = cluster.app("node-1");
    await Promise.all(Array.from({ length: 15 }, (_, n) => app.publish(Placed, { n })));
    await cluster.advance(100);
    const began = app.clock.monotonic();
    for (const [from, to] of [["node-1", "node-2"], ["node-1", "node-3"], ["node-2", "node-1"]]) {
      assertEquals((await cluster.app(from).send(Ping, undefined, { node: to })).value, "pong");
    }
    assertLess(app.clock.monotonic() - began, 500);
    while (handled < 15) await cluster.advance(100);
  });

  it("is not taken by the request of a new leader that joins a run", async () => {
    const gate = Promise.withResolvers<void>();
    const runs: string[] = [];
    const place = Placed.on(async (_, ctx) => {
      runs.push(ctx.node);
      await gate.promise;
    }, { timeout: 3_600_000 });
    await using cluster = await testCluster(3, { handlers: [place, ping], concurrency: 2 });
    const [{ leader }] = await cluster.apps[0].subscriptions();
    const others = cluster.apps.filter(({ self }) => self.id !== leader);
    while (others.some(({ self: { id } }) => !runs.includes(id))) {
      await others[0].publish(Placed, { n: runs.length });
      await cluster.advance(50);
    }
    const before = others.map(({ self: { id } }) => runs.filter((node) => node === id).length);
    await cluster.advance(1_500);
    await cluster.kill(leader!);
    await cluster.advance(8_000);
    const [{ leader: next }] = await others[0].subscriptions();
    const joined = others.findIndex(({ self: { id } }) => id !== next);
    // the running message takes one of the node's two places for concurrent messages
    assertEquals(before[joined], 1);
    const { self: { id: node } } = others[joined];
    const asked = await others[1 - joined].send(Ping, undefined, { node, timeout: 5_000 });
    assertEquals(asked.value, "pong");
    gate.resolve();
    await cluster.advance(1_000);
    assertEquals((await others[0].subscriptions())[0].lag, 0);
  });
});

describe("a message of the log that waits for its turn", () => {
  it("at the node of its key goes to another one when that refuses it (it waited until the node had room)", async () => {
    const Keyed = event<{ n: number }>("Keyed", { durable: true, key: ({ n }) => `${n}` });
    const Hog = command("Hog");
    const never = Promise.withResolvers<void>();
    const handled = new Set<number>();
    await using cluster = await testCluster(["a", "b", "c"], {
      handlers: [Keyed.on(({ n }) => void handled.add(n)), Hog.handle(() => never.promise)],
      concurrency: 1,
    });
    const app = cluster.app("a");
    const [{ leader }] = await app.subscriptions();
    const node = ["a", "b", "c"].find((id) => id !== leader)!;
    const sender = cluster.app(["a", "b", "c"].find((id) => id !== node)!);
    const hog = sender.send(Hog, undefined, { node, timeout: 100_000 });
    await cluster.advance(500);
    const count = 30;
    await Promise.all(Array.from({ length: count }, (_, n) => app.publish(Keyed, { n })));
    await cluster.advance(10_000);
    assertEquals(handled.size, count);
    never.resolve();
    await hog;
  });

  for (const [whose, own, concurrency] of [["its handler", 1, 1_024], ["its node", undefined, 1]] as const) {
    it(`of ${whose} is no attempt, and has its whole time when that comes (it was a dead letter)`, async () => {
      let [begun, handled] = [0, 0];
      const place = Placed.on(async (_, { signal }) => {
        begun++;
        await cluster.app("node-1").clock.sleep(3_000);
        if (!signal.aborted) handled++;
      }, { timeout: 10_000, retry: { attempts: 1 }, concurrency: own });
      await using cluster = await testCluster(3, { handlers: place, concurrency });
      const [app] = cluster.apps;
      const count = 60;
      await Promise.all(Array.from({ length: count }, (_, n) => app.publish(Placed, { n })));
      for (let i = 0; i < 300 && handled < count; i++) await cluster.advance(1_000);
      const letters = await Array.fromAsync(app.deadLetters(), ({ error }) => error.message);
      assertEquals({ letters, begun, handled }, { letters: [], begun: count, handled: count });
    });
  }
});
