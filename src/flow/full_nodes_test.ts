/** Tests, on virtual time, of workflow runs on nodes whose `concurrency` is low or used up. */
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
        // regression: the message that had called for the run kept, for 10 to 30 s, the place that the run's next step
        // needed
        assertLess(clock.monotonic() - began, dies ? 6_000 : 2_000);
      });
    }
  }
});

describe("a run that waits at a node whose turns slow handlers have taken", () => {
  it("hears of signals and of its cancellation at once (it did when the handlers had ended)", async () => {
    const Hog = command("Hog");
    const Approval = workflow<string, string>("Approval", { id: (run) => run });
    const Approved = Approval.signal<string>("Approved");
    const approval = Approval.handle(async (flow) => (await flow.wait(Approved))!);
    await using cluster = await testCluster(["a", "b", "c", "client"], {
      node: (id) => ({ handlers: id === "client" ? [] : [approval, Hog.handle(() => client.clock.sleep(60_000))] }),
      concurrency: 2,
    });
    const client = cluster.app("client");
    const runs = ["a", "b", "c"];
    for (const run of runs) unwrap(await cluster.app(run).start(Approval, run));
    await cluster.advance(1_000);
    for (const node of [...runs, ...runs]) void client.send(Hog, undefined, { node, timeout: 100_000 });
    await cluster.advance(500);
    const began = client.clock.monotonic();
    unwrap(await client.tell(Approved, "a", "ada"));
    unwrap(await client.tell(Approved, "b", "bob"));
    unwrap(await client.cancel(Approval, "c", "no"));
    const results = await Promise.all(runs.map((run) => client.result(Approval, run, { timeout: 100_000 })));
    assertEquals(results.map(({ value, error }) => value ?? error?.code), ["ada", "bob", "CANCELLED"]);
    assertLess(client.clock.monotonic() - began, 2_000);
  });
});
