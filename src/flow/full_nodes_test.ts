/** Runs of workflows at nodes whose turns are few, or taken: on virtual time. */
import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { command, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";

describe("runs of workflows at nodes with few turns", () => {
  for (const concurrency of [1, 2]) {
    for (const dies of [false, true]) {
      it(`end as soon as with many: ${concurrency}, ${dies ? "and a node dies" : "all nodes live"}`, async () => {
        const Charge = command<{ n: number }, number>("Charge", { idempotent: true });
        const Order = workflow<{ n: number }, number>("Order", { id: ({ n }) => `o${n}` });
        await using cluster = await testCluster(3, {
          handlers: [
            Order.handle(async (flow, { n }) => {
              await flow.step("pack", () => clock.sleep(500));
              return unwrap(await flow.send(Charge, { n }));
            }),
            Charge.handle(async ({ n }) => {
              await clock.sleep(20);
              return n;
            }),
          ],
          concurrency,
        });
        const { clock } = cluster.app("node-1");
        const began = clock.monotonic();
        const orders = Array.from({ length: 20 }, (_, n) => n);
        const started = orders.map((n) => cluster.app(`node-${1 + n % 3}`).start(Order, { n }));
        assertEquals((await Promise.all(started)).filter(({ ok }) => !ok), []);
        if (dies) {
          await cluster.advance(50);
          await cluster.kill("node-3");
        }
        const app = cluster.app("node-1");
        const results = await Promise.all(orders.map((n) => app.result(Order, `o${n}`, { timeout: 120_000 })));
        assertEquals(results.map(unwrap), orders);
        // what waited for a run kept the turn that its next step waited for, for 10 to 30 s
        assertLess(clock.monotonic() - began, dies ? 6_000 : 2_000);
      });
    }
  }
});
