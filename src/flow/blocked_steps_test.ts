/** Tests of steps whose function blocks the process of its node: shorter and longer than a takeover takes. */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { fail, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { delay } from "../ports/clock.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Compute = workflow<{ readonly fails: boolean }, string, "NO">("Compute");
const Other = workflow<string, string>("Other");
/** Time in which a run ends after its step has blocked two processes, in ms. */
const LIMIT = 60_000;

/** Starts nodes on which the step of `Compute` blocks its process for `ms`, whenever it is performed. */
async function started(ids: readonly string[], ms: number, timeout: number) {
  const begun: string[] = [];
  const undone: string[] = [];
  const cluster = await testCluster(ids, {
    time: "manual",
    logger: QUIET,
    node: (id) => ({
      handlers: [
        Compute.handle(async (flow, { fails }) => {
          const value = await flow.step("compute", async ({ attempt }) => {
            begun.push(`${id} ${attempt}`);
            cluster.network.pause(id);
            cluster.clock.after(ms, () => cluster.network.resume(id));
            // what follows a handler that computes runs before all that has waited for its process; some go on a while
            await delay(cluster.network.clockOf(id), ms < 40_000 ? 0 : 600);
            return "computed";
          }, { timeout, undo: (value) => void undone.push(value) });
          return fails ? fail("NO", "no") : value;
        }),
        Other.handle(async (flow, value) => {
          await flow.step("one", () => 1);
          await flow.sleep("a moment", 200);
          return await flow.step("two", () => value);
        }),
      ],
    }),
  });
  return { cluster, begun, undone };
}

describe("a step that blocks its process", () => {
  for (
    const [nodes, timeout, ...blocks] of [
      [1, 2_000, 60_000],
      [2, 2_000, 1_000, 20_000, 40_000, 60_000],
      [2, 50_000, 20_000, 60_000],
      [3, 2_000, 40_000],
    ]
  ) {
    for (const ms of blocks) {
      const name = `for ${ms} ms, of ${nodes} nodes, with a timeout of ${timeout}`;
      it(`${name}: has an outcome, whoever took its run over meanwhile; others go on`, async () => {
        const ids = ["a", "b", "c"].slice(0, nodes);
        const { cluster, begun, undone } = await started(ids, ms, timeout);
        const app = cluster.app("a");
        const start = (id: string, fails: boolean) => cluster.until(app.start(Compute, { fails }, { id }));
        unwrap(await start("good", false));
        await cluster.advance(ms * nodes + LIMIT);
        assertEquals(unwrap(await cluster.until(app.result(Compute, "good"))), "computed");
        assertLess(begun.length, 3, begun.join(", "));
        assertEquals(new Set(begun.map((each) => each.slice(-1))), new Set(["1"]), "it never failed");
        // what was performed at a node that was taken over is undone, once
        unwrap(await start("bad", true));
        await cluster.advance(ms * nodes + LIMIT);
        const { error } = await cluster.until(app.result(Compute, "bad"));
        assertEquals([error?.code, undone], ["NO", ["computed"]]);
        for (let n = 0; n < 4; n++) unwrap(await cluster.until(app.start(Other, "x", { id: `${n}` })));
        for (let n = 0; n < 4; n++) assertEquals(unwrap(await cluster.until(app.result(Other, `${n}`))), "x");
        await cluster.until(cluster[Symbol.asyncDispose]());
      });
    }
  }
});
