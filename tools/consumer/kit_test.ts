/**
 * A user's first test of an own service, run on the published package by `node --test`, and in the tree by all
 * runtimes.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { command, event, unwrap } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";

const Brew = command<{ tea: string }, string>("Brew");
const Brewed = event<{ tea: string }>("Brewed");
const Poured = event<{ tea: string }>("Poured", { durable: true });
const brew = Brew.handle(async ({ tea }, ctx) => {
  await ctx.clock.sleep(60_000);
  unwrap(await ctx.publish(Brewed, { tea }));
  return `${tea} by ${ctx.node}`;
});

describe("the test kit", () => {
  it("runs a cluster on virtual time, and records what it does", async () => {
    const cluster = await testCluster(3, { handlers: brew, timeout: 120_000 });
    try {
      const sent = cluster.app("node-1").send(Brew, { tea: "assam" }, { node: "node-3" });
      const { node } = await cluster.recorder.next(Brew, { type: "started" });
      cluster.kill("node-2");
      await cluster.agreed();
      assert.equal(unwrap(await sent), "assam by node-3");
      assert.equal(node, "node-3");
      assert.deepEqual((await cluster.recorder.next(Brewed)).payload, { tea: "assam" });
    } finally {
      await cluster.drain();
    }
  });

  it("steers the log: a leader is killed, retries come in virtual time, and everything is handled", async () => {
    const poured = Poured.on((_, ctx) => {
      if (ctx.attempt === 1) throw new Error("the cup was full");
    }, { name: "waiters", retry: { delay: [60_000, 60_000] } });
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const cluster = await testCluster(3, { handlers: poured, logger });
    try {
      unwrap(await cluster.app("node-1").publish(Poured, { tea: "assam" }));
      const { attempt, subscription } = await cluster.recorder.next(Poured, { type: "handled" });
      assert.deepEqual([attempt, subscription], [1, "waiters"]);
      cluster.kill(await cluster.leader("waiters"));
      await cluster.handled(300_000);
      assert.equal(cluster.recorder.handled(Poured).at(-1)?.result?.ok, true);
    } finally {
      await cluster.drain();
    }
  });
});
