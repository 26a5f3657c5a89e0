/** Tests that a handler that branches on which of several things ended first takes the same branch in each replay. */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { type Catga, type Flow, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { QUIET } from "../../test/support/quiet.ts";
import { delay } from "../ports/clock.ts";
import { infoOf } from "./run_suite.ts";

const Job = workflow<void, string>("Job");
const Approve = Job.signal("Approve");
const Reject = Job.signal("Reject");
const Quote = workflow<void, string>("Quote");
const DAY = 86_400_000;

/**
 * Runs a handler that gets a value by `way`, notes it in a step, sleeps for a day and, after a replay, acts on the
 * value. Returns three texts: "noted …", "acted on …" and "ended with …", each with the value.
 */
async function twice(
  way: (flow: Flow, other: Catga) => Promise<string>,
  meanwhile: (app: Catga, run: string, slept: () => Promise<void>) => Promise<unknown> = (_, __, slept) => slept(),
): Promise<string[]> {
  const did: string[] = [];
  const job = Job.handle(async (flow) => {
    const first = await way(flow, cluster.app("other"));
    await flow.step("note", () => void did.push(`noted ${first}`));
    await flow.sleep("a day", DAY);
    const again = await flow.step("act", () => void did.push(`acted on ${first}`)).then(() => first);
    return again;
  });
  const quote = Quote.handle((flow) => flow.step("ask", () => "a quote"));
  await using cluster = await testCluster(["worker", "other"], {
    logger: QUIET,
    node: (id) => id === "worker" ? { handlers: [job, quote] } : {},
  });
  const app = cluster.app("worker");
  const run = unwrap(await app.start(Job));
  const slept = async () => {
    while (!(await infoOf(app, run)).timeline.some(({ type, name }) => type === "slept" && name === "a day")) {
      await cluster.advance(100);
    }
  };
  await meanwhile(app, run, slept);
  await cluster.advance(10_000);
  await cluster.leap(DAY);
  const result = unwrap(await app.result(Job, run, { timeout: 60_000 }));
  return [...did, `ended with ${result}`];
}

function went(way: string): string[] {
  return [`noted ${way}`, `acted on ${way}`, `ended with ${way}`];
}

describe("a run goes on as it went before, with what was first", () => {
  it("of two signals, when the other one comes later", async () => {
    const did = await twice(
      (flow) =>
        Promise.race([
          flow.wait(Approve).then(() => "approved"),
          flow.wait(Reject).then(() => "rejected"),
        ]),
      async (app, run, slept) => {
        unwrap(await app.tell(Reject, run));
        await slept();
        unwrap(await app.tell(Approve, run));
      },
    );
    assertEquals(did, went("rejected"));
  });

  it("of a step and its limit, when the step ends behind it", async () => {
    let quoted = 0;
    const did = await twice((flow) =>
      Promise.race([
        flow.step("quote", () => {
          if (quoted++ < 2) throw new Error("nobody answers");
          return "a quote";
        }, { retry: { delay: [3_000, 3_000] } }),
        flow.sleep("limit", 4_000).then(() => "no quote"),
      ])
    );
    assertEquals([did, quoted], [went("no quote"), 3]);
  });

  it("of steps that run at once, in the order in which they ended", async () => {
    let failed = false;
    const did = await twice(async (flow) => {
      const order: string[] = [];
      const note = (name: string) => void order.push(name);
      await Promise.all([
        flow.step("slow", () => {
          if (failed) return;
          failed = true;
          throw new Error("not at once");
        }).then(() => note("slow")),
        flow.step("fast", () => {}).then(() => Promise.resolve()).then(() => note("fast")),
        flow.step("other", () => {}).then(() => note("other")),
      ]);
      return order.join(" ");
    });
    assertEquals(did, went("fast other slow"));
  });

  it("of a step and another run, whichever is stored first", async () => {
    const did = await twice((flow) =>
      Promise.race([
        flow.send(Quote, undefined).then((quote) => unwrap(quote)),
        flow.step("slow", () => new Promise<string>(() => {}), { timeout: 60_000 }),
      ])
    );
    assertEquals(did, went("a quote"));
  });

  it("of a step that ends, and one that an operator skips, whichever is stored first", async () => {
    const did = await twice((flow, other) =>
      Promise.race([
        flow.step("work", async ({ attempt }) => {
          if (attempt === 1) await (await infoOf(other, flow.id)).skip("stands", "skipped", "because");
          return "worked";
        }),
        flow.step("stands", () => new Promise<string>(() => {}), { timeout: 60_000 }),
      ])
    );
    assertEquals(did, went("skipped"));
  });

  it("although a handler that was changed no longer calls what came before", async () => {
    let version = 1;
    const did: string[] = [];
    const job = Job.handle(async (flow) => {
      await flow.step("first", () => {});
      if (version === 1) await flow.step("gone", () => void did.push("gone"));
      const both = await Promise.all([flow.step("a", () => "a"), flow.step("b", () => "b")]);
      await flow.sleep("a day", DAY);
      if (version === 2) {
        const long = flow.step("long", () => delay(cluster.clock, 20_000));
        await flow.step("middle", () => void did.push("not again"));
        did.push("while another step runs");
        await long;
      } else await flow.step("left", () => {}).then(() => flow.step("middle", () => {}));
      await flow.sleep("another day", DAY);
      await flow.step("last", () => void did.push(`last, version ${version}`));
      return both.join(" ");
    });
    await using cluster = await testCluster(1, { logger: QUIET, handlers: job });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    await cluster.advance(6_000);
    await cluster.leap(DAY);
    await cluster.advance(6_000);
    version = 2;
    const began = cluster.clock.now();
    await (await infoOf(app, run)).retry();
    while (did.length < 2) await cluster.advance(100);
    assertLess(cluster.clock.now() - began, 10_000);
    await cluster.advance(30_000);
    await cluster.leap(DAY);
    assertEquals(unwrap(await app.result(Job, run, { timeout: 60_000 })), "a b");
    assertEquals(did.slice(0, 2), ["gone", "while another step runs"]);
    assertEquals([did.includes("not again"), did.at(-1)], [false, "last, version 2"]);
  });
});
