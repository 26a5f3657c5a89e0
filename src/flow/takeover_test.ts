/** Tests, on virtual time, of how soon each of many runs continues on another node when its node dies. */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { ofThisRuntime } from "../../test/support/of_this_runtime.ts";

/** Timeout of tests with 10,000 runs, in ms of real time, for a busy machine. */
const SLOW = { timeout: 600_000 };

// docs/workflows.md promises, under "where a run is", how soon the runs of a dead node continue
describe("the runs of a node that dies, which leads their subscription, too", () => {
  for (const count of ofThisRuntime([250, 10_000])) {
    it(`all begin again within 5 s: ${count} (the last of 10,000 after more than 70)`, SLOW, async () => {
      const Batch = workflow<number, number>("Batch", { id: (n) => `${n}` });
      const began = new Map<number, number>();
      let killedAt = Infinity;
      await using cluster = await testCluster(["a", "b", "c"], {
        node: (id) => ({
          handlers: Batch.handle((flow, n) =>
            flow.step("work", async () => {
              if (id !== "a") began.set(n, clock.monotonic() - killedAt);
              await clock.sleep(60_000);
              return n;
            })
          ),
        }),
      });
      const { clock } = cluster.app("b");
      const app = cluster.app("a");
      const started = await Promise.all(Array.from({ length: count }, (_, n) => app.start(Batch, n)));
      assertEquals(started.filter(({ ok }) => !ok), []);
      await cluster.advance(4_000);
      assertEquals((await app.subscriptions()).map(({ leader }) => leader), ["a", "a"]);
      killedAt = clock.monotonic();
      await cluster.kill("a");
      for (let passed = 0; passed < 100_000 && began.size < count; passed += 500) await cluster.advance(500);
      assertEquals(began.size, count);
      const last = Math.max(...began.values());
      assertLess(last, 5_000);
    });
  }
});
