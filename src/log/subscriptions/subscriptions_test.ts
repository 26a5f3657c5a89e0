import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Cluster, events, ofKey } from "./cluster_suite.ts";

const BILLING = { billing: { Placed: {} } };

describe("Subscriptions", () => {
  it("handle a message at once that is stored when a node has just started", async () => {
    const cluster = new Cluster();
    await cluster.node("a", { handles: BILLING });
    const begun = cluster.clock.monotonic();
    await cluster.publish("Placed", [[0]]);
    await cluster.until("it is handled", () => cluster.ends.length === 1);
    const passed = cluster.clock.monotonic() - begun;
    assert(passed < 90, `it was handled after ${passed} ms`);
    cluster.close();
  });

  it("hand out the messages of each key in order, over all nodes, and record how far they are", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b", "c"]) await cluster.node(id, { handles: BILLING });
    let last = 0;
    for (let i = 0; i < 20; i++) last = await cluster.publish("Placed", events(50, 7, 50 * i));
    await cluster.until("all handled", () => cluster.ends.length === 1_000);
    for (let key = 0; key < 7; key++) assertEquals(cluster.payloads(`k${key}`), ofKey(1_000, 7, key));
    assertEquals(new Set(cluster.runs.map(({ node }) => node)).size, 3);
    await cluster.clock.advance(1_500);
    const record = await cluster.record("billing");
    if (typeof record !== "object") throw new Error(`no record: ${record}`);
    assertEquals(record.place.read, last * 1_024 + 1_023);
    assertEquals(record.open, []);
    cluster.close();
  });
});
