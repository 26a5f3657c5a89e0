import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { testCluster } from "../testing/mod.ts";

describe("Cluster.leave", () => {
  it("the timeout of a drain bounds the wait for a store that does not answer, too", async () => {
    await using cluster = await testCluster(["a"], { faults: { lostAck: 1 } });
    const began = cluster.clock.monotonic();
    await cluster.app("a").drain({ timeout: 1_000 });
    assertEquals(cluster.clock.monotonic() - began, 1_000);
  });
});
