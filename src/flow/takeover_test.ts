/** Tests, on virtual time, of how soon each of many runs continues on another node when its node dies. */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { seededRandom } from "../memory/seeded_random.ts";
import { delay } from "../ports/clock.ts";
import { QUIET } from "../../test/support/quiet.ts";
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

describe("the runs of a cluster whose nodes were killed one after the other, each 0.4 to 1.2 s", () => {
  // while a message may have ended a process, the log hands out few at once: each run held the next one back for 10 s
  for (const seed of ofThisRuntime([1, 4])) {
    it(`all go on within 5 s after the last death: seed ${seed} (the last after 12 and 20 s)`, SLOW, async () => {
      const Loop = workflow<number>("Loop", { id: (n) => `${n}` });
      const steps = new Map<number, number>();
      const ids = ["a", "b", "c"];
      const loop = Loop.handle(async (flow, n) => {
        for (let i = 0; i < 900; i++) {
          await flow.step(`step ${i}`, async () => {
            await delay(cluster.clock, 40);
            steps.set(n, cluster.clock.monotonic());
          });
        }
      });
      await using cluster = await testCluster([...ids, "client"], {
        ...{ logger: QUIET, seed, faults: { delay: 8 } },
        node: (id) => id === "client" ? {} : { handlers: loop },
      });
      const random = seededRandom(seed);
      for (let n = 0; n < 4; n++) unwrap(await cluster.app("client").start(Loop, n));
      for (let deaths = 0; deaths < 25; deaths++) {
        await cluster.advance(400 + random() * 800);
        const id = ids[Math.floor(random() * ids.length)];
        cluster.kill(id);
        void cluster.start(id);
      }
      const calm = cluster.clock.monotonic();
      await cluster.advance(5_000);
      assertEquals([...steps].filter(([, at]) => at > calm).length, 4);
    });
  }
});
