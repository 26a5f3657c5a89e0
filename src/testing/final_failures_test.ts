/** Tests of which failures of a handler are final, so that its message is not tried again. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { command, entity, event, fail, unwrap } from "../../mod.ts";
import { retry, timeout } from "../behaviors/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { testCluster } from "./mod.ts";

const Booked = event<number>("Booked", { durable: true });
const Pay = command<number, number>("Pay");
const RETRY = { attempts: 3, delay: [1, 1] } as const;

describe("a failure", () => {
  it("that is final for what a handler sent is not for its own message: it is tried again, and in a read model, too", async () => {
    let [sent, built, declines] = [0, 0, true];
    const pay = Pay.handle((n) => declines ? fail("LIMIT", "over", { final: true }) : n);
    const sends = Booked.on(async (n, ctx) => {
      sent++;
      unwrap(await ctx.send(Pay, n));
    }, { name: "sends", retry: RETRY });
    const builds = Booked.on(async (n, ctx) => {
      built++;
      unwrap(await ctx.send(Pay, n));
    }, { name: "builds", each: "node", from: "start" });
    await using cluster = await testCluster(1, { handlers: [pay, sends, builds], logger: QUIET });
    const [app] = cluster.apps;
    unwrap(await app.publish(Booked, 1));
    await cluster.advance(20_000);
    assertEquals(sent, 3);
    const before = built;
    assertEquals(before > 3, true);
    declines = false;
    await cluster.advance(60_000);
    assertEquals(app.health().subscriptions.find(({ name }) => name === "builds")?.retrying ?? 0, 0);
    assertEquals(built > before, true);
  });

  it("of a member of a batch counts for the attempt that has said it", async () => {
    let runs = 0;
    const handlers = Booked.onBatch((batch) => {
      if (++runs > 1) return;
      batch.fail(batch[0], "BUSY", "not now", { final: true });
      throw new Error("the database is away");
    }, { name: "rows", max: 3, within: 100, behaviors: [retry({ attempts: 3 })], retry: RETRY });
    await using cluster = await testCluster(1, { handlers, logger: QUIET });
    const [app] = cluster.apps;
    await Promise.all([1, 2, 3].map((n) => app.publish(Booked, n)));
    await cluster.handled();
    assertEquals([runs, await Array.fromAsync(app.deadLetters())], [2, []]);
  });

  it("by the limit of a behavior names that limit", async () => {
    const slow = Booked.on((_, ctx) => ctx.clock.sleep(1_000), {
      name: "slow",
      behaviors: [timeout(60)],
      retry: RETRY,
    });
    await using cluster = await testCluster(1, { handlers: slow, logger: QUIET });
    const [app] = cluster.apps;
    unwrap(await app.publish(Booked, 1));
    await cluster.advance(10_000);
    const [letter] = await Array.fromAsync(app.deadLetters());
    assertMatch(letter.error.message, /within 60 ms/);
  });
});

describe("an entity whose initial state is a promise", () => {
  it("fails before anything is stored", async () => {
    const Tally = entity<{ n: number }>("Tally", { initial: (() => Promise.resolve({ n: 0 })) as never });
    const Counted = Tally.event<number>("Counted", ({ n }, by) => ({ n: n + by }));
    const Count = command<{ id: string }, number>("Count", { key: ({ id }) => id });
    const count = Tally.handle(Count, (tally) => {
      tally.emit(Counted, 1);
      return tally.state.n;
    });
    await using cluster = await testCluster(1, { handlers: count, logger: QUIET });
    assertEquals((await cluster.apps[0].send(Count, { id: "a" })).error?.code, "HANDLER_FAILED");
  });
});
