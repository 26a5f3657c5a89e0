import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { codeOf } from "./entities_suite.ts";
import { Hang, hang, Self, self } from "./waiting_suite.ts";

describe("a command that waits for its turn at an entity", () => {
  it("of another node certainly was not applied when its turn does not come before its deadline", async () => {
    await using cluster = new MemoryCluster();
    await cluster.start("a", { handlers: [self, hang] });
    const client = await cluster.start("client");
    const hung = client.send(Hang, { id: "w", left: 0 }, { timeout: 2_000 });
    await cluster.clock.advance(50);
    const { error } = await cluster.clock.until(client.send(Self, { id: "w", left: 0 }, { timeout: 300 }));
    assertEquals([error?.code, error?.retryable, error?.message], [
      "UNAVAILABLE",
      true,
      "Self of Court w was not applied: its turn had not come when its deadline passed",
    ]);
    assertEquals(codeOf(await cluster.clock.until(hung)), "OUTCOME_UNKNOWN");
  });

  it("is CANCELLED at once when its sender gives up, and those behind it go on", async () => {
    await using cluster = new MemoryCluster();
    const app = await cluster.start("a", { handlers: [self, hang] });
    const hung = app.send(Hang, { id: "w", left: 0 }, { timeout: 2_000 });
    const controller = new AbortController();
    const cancelled = app.send(Self, { id: "w", left: 0 }, { signal: controller.signal });
    const behind = app.send(Self, { id: "w", left: 0 });
    await cluster.clock.advance(50);
    controller.abort();
    assertEquals(codeOf(await cluster.clock.until(cancelled)), "CANCELLED");
    assertEquals(codeOf(await cluster.clock.until(hung)), "OUTCOME_UNKNOWN");
    assertEquals((await cluster.clock.until(behind)).value, "the end");
  });
});
