/** A user's first test of an own service, run on the published package by `node --test`, and in the tree by all runtimes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { command, event, unwrap } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";

const Brew = command<{ tea: string }, string>("Brew");
const Brewed = event<{ tea: string }>("Brewed");
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
});
