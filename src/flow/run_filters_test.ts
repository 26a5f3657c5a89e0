/** Tests of the filters of `app.runs`: by tag, stage, failure and time. */
import { describe, it } from "node:test";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { fail, type RunsOptions, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { QUIET } from "../../test/support/quiet.ts";

const Order = workflow<string, string, "DECLINED">("Order");
const order = Order.handle(async (flow, how) => {
  if (how === "declined") return fail("DECLINED", "no money");
  flow.stage(how);
  if (how === "packed") await flow.sleep("long", 86_400_000);
  return how;
});

describe("app.runs by tag, stage, failure and time", () => {
  it("gives the runs to which all of them apply", async () => {
    await using cluster = await testCluster(1, { logger: QUIET, handlers: order });
    const app = cluster.app("node-1");
    const times: Date[] = [];
    for (
      const [id, how, tags] of [["a", "sent", ["vip", "eu"]], ["b", "declined", ["eu"]], [
        "c",
        "packed",
        undefined,
      ]] as const
    ) {
      times.push(new Date(cluster.clock.now()));
      unwrap(await app.start(Order, how, { id, tags }));
      await app.result(Order, id, { timeout: 500 });
      await cluster.advance(1_000);
    }
    const found = async (options: RunsOptions) =>
      (await Array.fromAsync(app.runs(options))).map(({ id }) => id).join("");
    const [, second, third] = times;
    assertEquals(
      [
        await found({}),
        await found({ tag: "eu" }),
        await found({ tag: "vip", workflow: "Order" }),
        await found({ tag: "none" }),
        await found({ stage: "packed" }),
        await found({ code: "DECLINED" }),
        await found({ started: { from: second } }),
        await found({ started: { from: second, before: third } }),
        await found({ ended: { before: second } }),
        await found({ ended: {} }),
        await found({ tag: "eu", stage: "sent", open: false, started: { before: second } }),
      ],
      ["abc", "ab", "a", "", "c", "b", "bc", "b", "a", "ab", "a"],
    );
    const [run] = await Array.fromAsync(app.runs({ id: "b" }));
    assertEquals([run.tags, run.code], [["eu"], "DECLINED"]);
  });

  it("finds a run that was started later by its tags", async () => {
    await using cluster = await testCluster(1, { logger: QUIET, handlers: order });
    const app = cluster.app("node-1");
    unwrap(await app.start(Order, "sent", { id: "a", tags: ["vip"], at: new Date(cluster.clock.now() + 60_000) }));
    await cluster.leap(61_000);
    let runs = await Array.fromAsync(app.runs({ tag: "vip" }));
    for (; runs.length === 0; runs = await Array.fromAsync(app.runs({ tag: "vip" }))) await cluster.advance(50);
    assertEquals(runs.map(({ id }) => id), ["a"]);
  });

  it("refuses invalid filters and tags", async () => {
    await using cluster = await testCluster(1, { logger: QUIET, handlers: order });
    const app = cluster.app("node-1");
    for (
      const [options, why] of [
        [{ tag: 1 }, /runs: tag/],
        [{ started: { to: new Date() } }, /runs: started: unknown/],
        [{ ended: { from: new Date(NaN) } }, /runs: ended: from and before must be valid dates/],
      ] as const
    ) {
      const { message } = await assertRejects(() => Array.fromAsync(app.runs(options as never)), TypeError);
      assertMatch(message, why);
    }
    for (const tags of [[], ["a".repeat(65)], "vip", Array.from({ length: 11 }, String)]) {
      const { message } = await assertRejects(() => app.start(Order, "sent", { tags: tags as never }), TypeError);
      assertMatch(message, /tags are 1 to 10 texts of 1 to 64 characters/);
    }
  });
});
