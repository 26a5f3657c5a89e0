/**
 * Tests of workflow runs while nodes with several versions of a program run at once, or a version has no running node.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import type { PendingStep } from "../contract/calls/flow.ts";
import { type Catga, command, unwrap, workflow } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { type TestCluster, testCluster } from "../testing/mod.ts";

const v1 = workflow<{ seat: string; buyer: string }, string>("Order", {
  input: z.object({ seat: z.string().refine((seat) => seat !== "poison"), buyer: z.string() }),
});
const v2 = workflow<{ seat: string; holder: string }, string>("Order", {
  input: z.object({ seat: z.string().refine((seat) => seat !== "poison"), holder: z.string() }),
  version: 2,
});
const old1 = { seat: "A1", buyer: "ada" };
const new1 = { seat: "A1", holder: "ada" };

/** Starts nodes with these ids: `old…` and `new…` handle their versions of a workflow, and `web…` handle none. */
function shop(...ids: string[]) {
  const node = (id: string) => {
    if (id.startsWith("web")) return { service: "web" };
    const handler = id.startsWith("old")
      ? v1.handle(async (flow, { buyer }) => await flow.step("sell", () => `${buyer} at old`))
      : v2.handle(async (flow, { holder }) => await flow.step("sell", () => `${holder} at new`));
    return { service: "shop", handlers: handler };
  };
  return testCluster(ids, { logger: QUIET, node });
}

/** Returns the text of the outage because of which runs wait on a node; `undefined`: none waits. */
function waiting(app: Catga): string | undefined {
  return app.health().subscriptions.flatMap(({ outage }) => outage?.message ?? [])[0];
}

async function status(app: Catga, run: string): Promise<string | undefined> {
  for await (const info of app.runs({ workflow: "Order", id: run })) return info.status;
  return undefined;
}

/** Advances the time until `check` returns true. */
function until(cluster: TestCluster, what: string, check: () => Promise<boolean> | boolean): Promise<boolean> {
  return eventually(what, async () => {
    await cluster.advance(500);
    return await check();
  });
}

describe("runs of two versions", () => {
  it("go on at a node whose schema takes their input, whoever starts them", async () => {
    await using cluster = await shop("old", "new", "web1", "web2");
    for (let n = 0; n < 10; n++) {
      // in every second round, a node of the other version starts the run
      const [byOld, byNew] = n % 2 === 0 ? ["web1", "web2"] : ["old", "new"];
      const old = unwrap(await cluster.app(byOld).start(v1, old1, { id: `old-${n}` }));
      const now = unwrap(await cluster.app(byNew).start(v2, new1, { id: `new-${n}` }));
      assertEquals(unwrap(await cluster.app("web1").result(v1, old)), "ada at old");
      assertEquals(unwrap(await cluster.app("web1").result(v2, now)), "ada at new");
    }
  });

  it("wait for their writer's version, are named, hold up no other, and go on when it is there", async () => {
    await using cluster = await shop("old", "web");
    const web = cluster.app("web");
    for (let n = 0; n < 20; n++) unwrap(await web.start(v2, new1, { id: `new-${n}` }));
    const message = await eventually("it to be named", () => waiting(cluster.app("old")));
    assertMatch(message!, /run new-\d+ of Order waits for another version of Order: .*buyer/);
    const [alarm] = cluster.app("old").health().alarms;
    assertEquals([alarm?.kind, alarm?.about, alarm?.severity], ["version-away", "shop/Order-run:entities", "error"]);
    assertMatch(
      alarm.message,
      /^Up to \d+ runs of Order wait for a program with another version of it\. Why the first: run new-/,
    );
    unwrap(await web.start(v1, old1, { id: "old" }));
    assertEquals(unwrap(await web.result(v1, "old")), "ada at old");
    for (let n = 0; n < 20; n++) {
      await until(cluster, "it to wait", async () => await status(cluster.app("old"), `new-${n}`) === "waiting");
      assertEquals(await status(web, `new-${n}`), "running"); // it handles no workflow, and may not know why
    }
    const run = await Array.fromAsync(cluster.app("old").runs({ workflow: "Order", status: "waiting" }));
    assertEquals(run.length, 20);
    const [{ name, attempts, next, error }] = run[0].pending;
    assertEquals([run[0].pending.length, name, attempts, next, error?.code], [1, "", 0, undefined, "UNAVAILABLE"]);
    assertMatch(error!.message, /^run new-0 of Order waits for another version of Order: .*buyer/);
    await cluster.start("new");
    for (let n = 0; n < 20; n++) assertEquals(unwrap(await web.result(v2, `new-${n}`)), "ada at new");
    await eventually("nobody to wait", () => waiting(cluster.app("old")) === undefined);
    assertEquals(cluster.app("old").health().alarms, []);
  });
});

describe("a run that waited for its version, and is executed by it", () => {
  it("is running, and no alarm says that it waits, while its step lasts (both said so)", async () => {
    const step = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    await using cluster = await testCluster(["old", "web"], {
      logger: QUIET,
      node: (id) => {
        if (id === "web") return { service: "web" };
        const handler = id === "old" ? v1.handle(() => "at old") : v2.handle(async (flow) => {
          await flow.step("long", () => {
            begun.resolve();
            return step.promise;
          });
          return "at new";
        });
        return { service: "shop", handlers: handler };
      },
    });
    const [old, web] = [cluster.app("old"), cluster.app("web")];
    const kinds = () => old.health().alarms.map(({ kind }) => kind);
    unwrap(await web.start(v2, new1, { id: "n" }));
    await until(cluster, "it to wait", () => kinds().includes("version-away"));
    await until(cluster, "it to be shown as waiting", async () => await status(old, "n") === "waiting");
    await cluster.start("new");
    await begun.promise;
    assertEquals(kinds(), []);
    assertEquals(await status(old, "n"), "running");
    step.resolve();
    assertEquals(unwrap(await web.result(v2, "n")), "at new");
  });
});

describe("a run that sleeps while its version is replaced by one that refuses it", () => {
  it("is shown as waiting, with the reason, once its time has come, and goes on when its version is there again", async () => {
    await using cluster = await testCluster(["old", "web"], {
      logger: QUIET,
      node: (id) => {
        if (id === "web") return { service: "web" };
        const handler = id.startsWith("old")
          ? v1.handle(async (flow) => {
            await flow.sleep("a day", 86_400_000);
            return "slept";
          })
          : v2.handle(() => "at new");
        return { service: "shop", handlers: handler };
      },
    });
    const web = cluster.app("web");
    unwrap(await web.start(v1, old1, { id: "o" }));
    await until(cluster, "it to sleep", async () => await status(web, "o") === "waiting");
    await cluster.app("old").drain();
    await cluster.start("new");
    await cluster.leap(86_400_000);
    const pending = async () => {
      for await (const { status, pending } of cluster.app("new").runs({ id: "o" })) return [status, ...pending];
    };
    await until(cluster, "the refusal", async () => (await pending())?.length === 3);
    const [status1, refusal, sleep] = await pending() as [string, PendingStep, PendingStep];
    assertEquals([status1, refusal.name, refusal.error?.code, sleep.name], ["waiting", "", "UNAVAILABLE", "a day"]);
    assertMatch(refusal.error!.message, /^run o of Order waits for another version of Order: .*holder/);
    await cluster.start("old2");
    assertEquals(unwrap(await web.result(v1, "o")), "slept");
  });
});

describe("a run that its handler of this version cannot go on with", () => {
  const Order = (version: number) => workflow<{ fails: number[]; forGood?: true }, string>("Order", { version });

  let attempts = 0;

  /**
   * Starts nodes with these ids, `v1…` and `v2…`. A handler throws after its first step if the input says that its
   * version fails.
   */
  function nodes(begun: string[], ...ids: string[]) {
    return testCluster(ids, {
      logger: QUIET,
      node: (id) => {
        if (id === "web") return { service: "web" };
        const version = Number(id[1]);
        const handler = Order(version).handle(async (flow, { fails, forGood }) => {
          await flow.step("first", () => void begun.push(`first ${id[1]}`));
          if (forGood && fails.includes(version)) await flow.step("first", () => {}); // no attempt follows
          attempts++;
          if (fails.includes(version)) throw new Error(`not for ${version}`);
          return await flow.step("last", () => {
            begun.push(`last ${id[1]}`);
            return `ended by ${version}`;
          });
        });
        return { service: "shop", handlers: handler };
      },
    });
  }

  it("goes to a node of another version, and is not stuck; no step runs twice", async () => {
    const begun: string[] = [];
    await using cluster = await nodes(begun, "v1", "v2");
    const ids = Array.from({ length: 10 }, (_, n) => `r${n}`);
    for (const id of ids) unwrap(await cluster.app("v1").start(Order(1), { fails: [1] }, { id }));
    for (const run of ids) {
      await until(cluster, `${run} to end`, async () => await status(cluster.app("v2"), run) === "done");
      assertEquals(unwrap(await cluster.app("v2").result(Order(1), run)), "ended by 2");
    }
    assertEquals(begun.filter((line) => line.startsWith("first")).length, 10);
    assertEquals(begun.filter((line) => line === "last 2").length, 10);
    for (const id of ["v1", "v2"]) {
      assertEquals(cluster.app(id).health().alarms.filter(({ kind }) => kind === "run-stuck"), []);
    }
  });

  it("is stuck once each version that is there, its writer's too, is stuck with it", async () => {
    await using cluster = await nodes([], "v1", "v2");
    unwrap(await cluster.app("v1").start(Order(1), { fails: [1, 2], forGood: true }, { id: "poison" }));
    await until(cluster, "poison", async () => await status(cluster.app("v2"), "poison") === "stuck");
    // a version without the bug is deployed, and an operator retries the run
    await cluster.start("v3");
    for await (const { retry } of cluster.app("v1").runs({ workflow: "Order", status: "stuck" })) await retry();
    await until(cluster, "poison", async () => await status(cluster.app("v2"), "poison") === "done");
  });

  it("waits after a rollback for the version that drove it last, and goes on there", async () => {
    const begun: string[] = [];
    await using cluster = await nodes(begun, "v1", "v2", "web");
    // version 1 fails, so version 2 takes the run over and ends it
    unwrap(await cluster.app("v2").start(Order(2), { fails: [1] }, { id: "before" }));
    await until(cluster, "before", async () => await status(cluster.app("web"), "before") === "done");
    await cluster.app("v2").drain();
    unwrap(await cluster.app("web").start(Order(2), { fails: [1] }, { id: "after" }));
    await until(cluster, "it to wait", () => waiting(cluster.app("v1")) !== undefined);
    assertMatch(waiting(cluster.app("v1"))!, /run after of Order waits for another version of Order: .*not for 1/);
    assert(await status(cluster.app("web"), "after") !== "stuck");
    await cluster.start("v2b");
    await until(cluster, "after", async () => await status(cluster.app("web"), "after") === "done");
    assertEquals(begun.filter((line) => line === "last 2").length, 2);
  });

  it("is shown as waiting since its first refusal, also when it came a step further before the last (it was shown as running)", async () => {
    const further: string[] = [];
    const handler = (id: string) =>
      Order(1).handle(async (flow) => {
        await flow.step("first", () => {});
        if (id === "v1b") await flow.step("second", () => void further.push(id));
        throw new Error("not for 1");
      });
    await using cluster = await testCluster(["v1", "web"], {
      logger: QUIET,
      node: (id) => id === "web" ? { service: "web" } : { service: "shop", handlers: handler(id) },
    });
    const shown = async (id: string) => {
      for await (const { status, pending: [{ since }] } of cluster.app(id).runs({ id: "r" })) return [status, since];
    };
    unwrap(await cluster.app("web").start(Order(2), { fails: [] }, { id: "r" }));
    await until(cluster, "it to wait", async () => await status(cluster.app("v1"), "r") === "waiting");
    const before = await shown("v1");
    await cluster.app("v1").drain();
    await cluster.start("v1b");
    await until(cluster, "its second step", () => further.length === 1);
    await cluster.advance(1_000);
    assertEquals(await shown("v1b"), before);
  });

  it("is tried again while it waits, for what its handler throws may pass; a cancel ends it", async () => {
    const begun: string[] = [];
    await using cluster = await nodes(begun, "v1", "web");
    const web = cluster.app("web");
    const fails = [1];
    unwrap(await web.start(Order(2), { fails }, { id: "cancelled" }));
    await until(cluster, "it to wait", () => waiting(cluster.app("v1")) !== undefined);
    const tried = attempts;
    const before = await cluster.app("v1").runs({ id: "cancelled" }).next();
    await cluster.advance(120_000);
    const after = await cluster.app("v1").runs({ id: "cancelled" }).next();
    assert(attempts > tried, `${attempts} attempts`);
    // nothing was recorded while the run waited
    assertEquals(after.value.timeline.length, before.value.timeline.length);
    unwrap(await web.cancel(Order(2), "cancelled", "enough"));
    await until(cluster, "its end", async () => await status(web, "cancelled") === "failed");
    await until(cluster, "nobody to wait", () => waiting(cluster.app("v1")) === undefined);
  });
});

describe("a step that sends a command which is idempotent in the version of its driver, and at some nodes", () => {
  const Pay = {
    plain: command<void, string>("Pay"),
    idempotent: command<void, string>("Pay", { idempotent: true }),
  };
  const Order = workflow<void, string>("Order");

  /** Starts nodes with these ids: `driver…` drive runs, `plain…` and `idempotent…` handle the command so. */
  function shop(runs: string[], ...ids: string[]) {
    return testCluster(ids, {
      logger: QUIET,
      node: (id) => {
        if (id.startsWith("driver")) {
          const order = Order.handle(async (flow) => unwrap(await flow.send(Pay.idempotent, undefined)));
          return { service: "orders", handlers: order };
        }
        if (id === "web") return { service: "web" };
        const contract = id.startsWith("plain") ? Pay.plain : Pay.idempotent;
        const pay = contract.handle(async (_, { clock, node }) => {
          runs.push(node);
          await clock.sleep(3_000);
          return node;
        });
        return { service: "payments", handlers: pay };
      },
    });
  }

  const pendingOf = async (app: Catga) => {
    for await (const { pending } of app.runs({ workflow: "Order", id: "o" })) return pending[0]?.error?.message ?? "";
    return "";
  };

  for (const victim of ["driver", "handler"] as const) {
    it(`does not send it again to a node where it is not, after a kill of the ${victim}`, async () => {
      const runs: string[] = [];
      await using cluster = await shop(runs, "plain-1", "plain-2", "driver-1", "driver-2", "web");
      const web = cluster.app("web");
      unwrap(await cluster.app("driver-1").start(Order, undefined, { id: "o" }));
      await until(cluster, "the command to run", () => runs.length === 1);
      cluster.kill(victim === "driver" ? "driver-1" : runs[0]);
      await until(
        cluster,
        "the run to say why it waits",
        async () => /where it is not idempotent/.test(await pendingOf(web)),
      );
      await cluster.advance(20_000);
      assertEquals([runs.length, await status(web, "o")], [1, "retrying"]);
      await cluster.start("idempotent-1");
      await until(cluster, "the run to end", async () => await status(web, "o") === "done");
      assertEquals([unwrap(await web.result(Order, "o")), runs.slice(1)], ["idempotent-1", ["idempotent-1"]]);
    });
  }

  it("sends it again to any node after attempts that certainly did not run", async () => {
    const runs: string[] = [];
    await using cluster = await shop(runs, "driver-1", "web");
    unwrap(await cluster.app("driver-1").start(Order, undefined, { id: "o" }));
    await until(cluster, "an attempt to fail", async () => /handle/.test(await pendingOf(cluster.app("web"))));
    await cluster.start("plain-1");
    await until(cluster, "the run to end", async () => await status(cluster.app("web"), "o") === "done");
    assertEquals(runs, ["plain-1"]);
  });
});
