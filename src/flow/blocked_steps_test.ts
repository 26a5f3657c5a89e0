/** Tests of steps whose function blocks the process of its node: shorter and longer than a takeover takes. */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { fail, type Step, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { delay } from "../ports/clock.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Compute = workflow<{ readonly fails: boolean }, string, "NO">("Compute");
const Throws = workflow<{ readonly undo: boolean; readonly why: Why }, string, "NO">("Throws");
const Other = workflow<string, string>("Other");
const Told = workflow<void, number>("Told");
const More = Told.signal<number>("More");
const SIGNALS = 60;
/** Time in which a run ends after its step has blocked two processes, in ms. */
const LIMIT = 60_000;

/** How the blocked step fails: it throws, returns a failure for good, or one after which it is tried again. */
type Why = "throws" | "declines" | "is busy";

/**
 * Starts nodes on which a step of `Throws`, or its `undo`, blocks its process for `ms`, whenever it is performed, and
 * fails. `begun`: where, and as which attempt, it began each time.
 */
async function failing(ids: readonly string[], ms: number, timeout: number) {
  const begun: string[] = [];
  const cluster = await testCluster(ids, {
    time: "manual",
    logger: QUIET,
    node: (id) => {
      const blocks = async (attempt: number, why: Why) => {
        begun.push(`${id} ${attempt}`);
        cluster.network.pause(id);
        cluster.clock.after(ms, () => cluster.network.resume(id));
        await delay(cluster.network.clockOf(id), 0);
        if (why === "throws") throw new Error("the picture is broken");
        return fail("NO", "no picture", { retryable: why === "is busy", details: { size: 7 } });
      };
      return {
        handlers: [
          Throws.handle(async (flow, { undo, why }) => {
            const retry = { attempts: 3, delay: [10, 10] as const };
            if (!undo) return await flow.step("compute", ({ attempt }) => blocks(attempt, why), { timeout, retry });
            await flow.step("done", () => 1, { timeout, retry, undo: async () => void await blocks(0, why) });
            return fail("NO", "no");
          }),
          Other.handle(async (flow, value) => {
            // it waits for longer than a block takes, and is no attempt less for that
            await flow.step("beside", async ({ attempt, signal }) => {
              if (attempt > 1) throw new Error("another attempt");
              await delay(cluster.network.clockOf(id), 900, signal);
              return value;
            }, { timeout: 1_000, retry: { attempts: 1 } });
            return value;
          }),
        ],
      };
    },
  });
  return { cluster, begun };
}

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

describe("a step that blocks its process, whose connection breaks meanwhile", () => {
  for (const ms of [17_000, 40_000]) {
    it(`for ${ms} ms, while its run is told signals: has an outcome (it ran at each node in turn)`, async () => {
      const begun: string[] = [];
      const handlers = (id: string) =>
        Told.handle(async (flow) => {
          await flow.step("compute", async () => {
            begun.push(id);
            cluster.network.pause(id);
            cluster.network.cut(id);
            cluster.clock.after(ms / 2, () => cluster.network.restore(id));
            cluster.clock.after(ms, () => cluster.network.resume(id));
            await delay(cluster.network.clockOf(id), 0);
          }, { timeout: 2 * ms });
          let sum = 0;
          for (let n = 0; n < SIGNALS; n++) sum += await flow.wait(More);
          return sum;
        });
      const cluster = await testCluster(["a", "b", "client"], {
        time: "manual",
        logger: QUIET,
        node: (id) => id === "client" ? {} : { handlers: handlers(id) },
      });
      const app = cluster.app("client");
      unwrap(await cluster.until(app.start(Told, undefined, { id: "1" })));
      for (let n = 0; n < SIGNALS; n++) {
        await cluster.advance(2_000);
        unwrap(await cluster.until(app.tell(More, "1", 1)));
      }
      await cluster.advance(2 * ms + LIMIT);
      assertEquals(unwrap(await cluster.until(app.result(Told, "1"))), SIGNALS);
      assertLess(begun.length, 4, begun.join(", "));
      await cluster.until(cluster[Symbol.asyncDispose]());
    });
  }
});

describe("a step that blocks its process and fails", () => {
  for (const ms of [10_000, 20_000, 40_000, 60_000]) {
    for (const nodes of [1, 2, 3]) {
      for (const undo of ms === 60_000 && nodes === 2 ? [false, true] : [false]) {
        const what = undo ? "an undo" : "a step";
        it(`${what} that throws behind ${ms} ms, of ${nodes} nodes: its run is stuck after three attempts`, async () => {
          const ids = ["a", "b", "c"].slice(0, nodes);
          const { cluster, begun } = await failing(ids, ms, 2_000);
          const app = cluster.app("a");
          unwrap(await cluster.until(app.start(Throws, { undo, why: "throws" }, { id: "1" })));
          await cluster.advance(3 * ms + LIMIT);
          const [info] = await cluster.until(Array.fromAsync(app.runs({ workflow: "Throws", id: "1" })));
          const name = undo ? "@undo done" : "compute";
          const [{ attempts, error }] = info.pending.filter((one) => one.name === name);
          assertEquals([info.status, error?.message], ["stuck", "the picture is broken"], begun.join(", "));
          // a node that has begun the step may be taken over: others then know of the attempt when it has ended
          assertLess(begun.length, 3 + nodes, begun.join(", "));
          assertEquals([attempts, attempts >= 3], [begun.length, true]);
          const given = begun.map((each) => Number(each.slice(-1)));
          assertEquals(given, given.toSorted(), "attempts never go back");
          await cluster.until(cluster[Symbol.asyncDispose]());
        });
      }
    }
  }

  for (const why of ["declines", "is busy"] as const) {
    for (const ids of [["a", "b"], ["a", "b", "c"]]) {
      it(`a step that ${why} behind 60 s, of ${ids.length} nodes: its run ends with that`, async () => {
        const { cluster, begun } = await failing(ids, 60_000, 2_000);
        const app = cluster.app("a");
        unwrap(await cluster.until(app.start(Throws, { undo: false, why }, { id: "1" })));
        await cluster.advance(12 * LIMIT);
        const { error } = await cluster.until(app.result(Throws, "1"));
        const failure = { code: error?.code, retryable: error?.retryable, details: error?.details };
        assertEquals(failure, { code: "NO", retryable: why === "is busy", details: { size: 7 } });
        // once more for each further node
        assertLess(begun.length, why === "declines" ? 1 + ids.length : 3 + ids.length, begun.join(", "));
        await cluster.until(cluster[Symbol.asyncDispose]());
      });
    }
  }

  for (const end of ["returns", "throws", "has looked at its signal", "returns behind its timeout"] as const) {
    const what = end === "returns" || end === "throws" ? "counts" : "counts no more";
    it(`and ${end} after its run was taken over: that ${what}`, async () => {
      const begun: string[] = [];
      const cluster = await testCluster(["a", "b"], {
        time: "manual",
        logger: QUIET,
        node: (id) => {
          const slow = async (step: Step) => {
            begun.push(`${id} ${step.attempt}`);
            if (begun.length > 1) return await new Promise<string>(() => {});
            if (end === "has looked at its signal") void step.signal;
            await delay(cluster.network.clockOf(id), 60_000);
            if (end === "throws") throw new Error("too large");
            return "computed";
          };
          const retry = { attempts: 1 };
          const handlers = Compute.handle(async (flow) => {
            const timeout = end === "returns behind its timeout" && begun.length === 0 ? 50_000 : 600_000;
            return await flow.step("compute", slow, { timeout, retry });
          });
          return { handlers };
        },
      });
      const app = cluster.app("a");
      unwrap(await cluster.until(app.start(Compute, { fails: false }, { id: "1" })));
      await cluster.advance(1_000);
      const first = begun[0].slice(0, 1);
      cluster.network.pause(first);
      await cluster.advance(40_000);
      assertEquals(begun.length, 2, "another node performs it");
      cluster.network.resume(first);
      await cluster.advance(60_000);
      const [info] = await cluster.until(Array.fromAsync(app.runs({ workflow: "Compute", id: "1" })));
      const { attempts, error } = info.pending.find(({ name }) => name === "compute") ?? {};
      assertEquals(
        [info.status, attempts, error?.message],
        {
          returns: ["done", undefined, undefined],
          throws: ["retrying", 1, "too large"],
          "has looked at its signal": ["running", undefined, undefined],
          "returns behind its timeout": ["running", undefined, undefined],
        }[end],
      );
      await cluster.until(cluster[Symbol.asyncDispose]());
    });
  }

  it("counts no attempt of the steps beside it", async () => {
    const { cluster } = await failing(["a"], 10_000, 2_000);
    const app = cluster.app("a");
    unwrap(await cluster.until(app.start(Other, "x", { id: "1" })));
    await cluster.advance(200);
    unwrap(await cluster.until(app.start(Throws, { undo: false, why: "throws" }, { id: "1" })));
    await cluster.advance(LIMIT);
    assertEquals(unwrap(await cluster.until(app.result(Other, "1"))), "x");
    await cluster.until(cluster[Symbol.asyncDispose]());
  });

  it("goes on behind the attempts that others have made while it stood still", async () => {
    const begun: string[] = [];
    const cluster = await testCluster(["a", "b"], {
      time: "manual",
      logger: QUIET,
      node: (id) => ({
        handlers: Other.handle(async (flow) =>
          await flow.step("often", ({ attempt }) => {
            begun.push(`${id} ${attempt}`);
            throw new Error("not yet");
          }, { retry: { attempts: 30, delay: [5_000, 5_000] } })
        ),
      }),
    });
    const app = cluster.app("a");
    unwrap(await cluster.until(app.start(Other, "x", { id: "1" })));
    await cluster.advance(7_000);
    const first = begun[0].slice(0, 1);
    cluster.network.pause(first);
    await cluster.advance(60_000);
    const meanwhile = begun.length;
    cluster.network.resume(first);
    await cluster.advance(LIMIT);
    assertLess(4, begun.length - meanwhile, begun.join(", "));
    const given = begun.map((each) => Number(each.slice(2)));
    assertEquals(given, given.toSorted((a, b) => a - b), begun.join(", "));
    await cluster.until(cluster[Symbol.asyncDispose]());
  });
});
