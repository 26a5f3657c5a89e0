import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { command } from "../contract/declaration/definition.ts";
import { unwrap } from "../contract/calls/result.ts";
import { testCluster } from "../testing/mod.ts";

describe("Cluster.leave", () => {
  it("the timeout of a drain bounds the wait for a store that does not answer, too", async () => {
    await using cluster = await testCluster(["a"], { faults: { lostAck: 1 } });
    const began = cluster.clock.monotonic();
    await cluster.app("a").drain({ timeout: 1_000 });
    assertEquals(cluster.clock.monotonic() - began, 1_000);
  });
});

describe("sends within each other", () => {
  const Down = command<number>("Down");
  const go = async (deepest: number) => {
    let deep = 0;
    const handlers = Down.handle(async (n, ctx) => {
      deep++;
      if (n > 0) unwrap(await ctx.send(Down, n - 1));
    });
    await using cluster = await testCluster(["a"], { handlers });
    const { error } = await cluster.app("a").send(Down, deepest);
    return [error?.code, deep];
  };

  it("may be 100, and one that goes on without end fails (it filled the stack, and ended its process)", async () => {
    assertEquals(await go(100), [undefined, 101]);
    assertEquals(await go(1e9), ["INVALID_MESSAGE", 101]);
  });
});
