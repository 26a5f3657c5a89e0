/**
 * Tests of stored messages while nodes with several versions of a program run side by side, or the nodes of one
 * version are away.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import { type Catga, command, event } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { testCluster } from "../testing/mod.ts";

const seat = z.string().refine((seat) => seat !== "poison");
const v1 = {
  Sold: event("Sold", {
    durable: true,
    input: z.object({ seat, channel: z.enum(["web", "app"]) }),
    key: (e) => e.seat,
  }),
  Print: command("Print", { durable: true, input: z.object({ seat }) }),
};
const v2 = {
  Sold: event("Sold", {
    durable: true,
    input: z.object({ seat, channel: z.enum(["web", "app", "kiosk"]) }),
    key: (e) => e.seat,
  }),
  Print: command("Print", { durable: true, input: z.object({ ticket: z.string() }) }),
};

/**
 * Starts a cluster. Nodes named `old…` handle the contracts of the first version, nodes named `new…` the second's;
 * `web` handles none.
 */
function shop(handled: string[], ...ids: string[]) {
  const handlers = (id: string) => {
    const { Sold, Print } = id.startsWith("old") ? v1 as unknown as typeof v2 : v2;
    return [
      Sold.on(({ seat }, ctx) => void handled.push(`${seat} ${ctx.node}`), { name: "sales" }),
      Print.handle((_, ctx) => void handled.push(`ticket ${ctx.node}`)),
    ];
  };
  return testCluster(ids, {
    logger: QUIET,
    node: (id) => id.startsWith("web") ? { service: "web" } : { service: "shop", handlers: handlers(id) },
  });
}

async function dead(app: Catga): Promise<number> {
  return (await app.subscriptions()).reduce((sum, { dead }) => sum + dead, 0);
}

/**
 * Counts the messages that wait for a node with another shape of their contract, in the subscriptions that these apps
 * lead.
 */
function waiting(apps: readonly Catga[]): number {
  return apps.flatMap((app) => app.health().subscriptions)
    .filter(({ outage }) => outage !== undefined).reduce((sum, { retrying }) => sum + retrying, 0);
}

describe("stored messages of two versions", () => {
  it("are handled by a node whose schema takes them, and none is a dead letter", async () => {
    const handled: string[] = [];
    await using cluster = await shop(handled, "old", "new", "web");
    const web = cluster.app("web");
    for (let n = 0; n < 20; n++) {
      await web.publish(v2.Sold, { seat: `A${n}`, channel: "kiosk" });
      await web.publish(v1.Sold, { seat: `B${n}`, channel: "app" });
      await web.enqueue(v2.Print, { ticket: `${n}` });
      await web.enqueue(v1.Print, { seat: `${n}` });
    }
    await cluster.handled();
    assertEquals([handled.length, await dead(web)], [80, 0]);
    assertEquals(handled.filter((line) => line.startsWith("A") && !line.endsWith("new")), []);
  });

  it("leave a batch whose node does not take them, and are handled elsewhere", async () => {
    const handled: string[] = [];
    await using cluster = await testCluster(["old", "new", "web"], {
      logger: QUIET,
      node: (id) => {
        if (id === "web") return { service: "web" };
        const { Sold } = id === "old" ? v1 as unknown as typeof v2 : v2;
        const take = (batch: readonly { payload: { seat: string } }[]) =>
          void handled.push(...batch.map(({ payload }) => payload.seat));
        return { service: "shop", handlers: Sold.onBatch(take, { name: "sales" }) };
      },
    });
    const web = cluster.app("web");
    for (let n = 0; n < 20; n++) {
      await web.publish(v2.Sold, { seat: `A${n}`, channel: n % 2 === 0 ? "kiosk" : "web" });
    }
    await cluster.handled();
    assertEquals([new Set(handled).size, handled.length, await dead(web)], [20, 20, 0]);
  });

  it("of a version that is away wait for it, hold up no other, and go on when it is there", async () => {
    const handled: string[] = [];
    await using cluster = await shop(handled, "old", "web");
    const web = cluster.app("web");
    for (let n = 0; n < 20; n++) await web.publish(v2.Sold, { seat: `A${n % 5}`, channel: "kiosk" });
    await web.publish(v1.Sold, { seat: "B", channel: "app" });
    await eventually("the one that it takes to be handled", () => handled.includes("B old"));
    await eventually("20 to wait", () => waiting([cluster.app("old")]) === 20);
    assertEquals([handled.length, cluster.app("old").health().subscriptions.every(({ dead }) => dead === 0)], [
      1,
      true,
    ]);
    await cluster.start("new");
    await cluster.handled();
    assertEquals([handled.filter((line) => line.startsWith("A")).length, await dead(web)], [20, 0]);
  });

  it("20,000 that wait, more than may be put aside, stop nothing behind them", async () => {
    const handled: string[] = [];
    await using cluster = await shop(handled, "old", "web");
    const web = cluster.app("web");
    const all = Array.from(
      { length: 20_000 },
      (_, n) => web.publish(v2.Sold, { seat: `A${n % 5_000}`, channel: "kiosk" }),
    );
    await Promise.all(all);
    await web.publish(v1.Sold, { seat: "B", channel: "app" });
    await eventually("the one behind them to be handled", () => handled.includes("B old"));
    const [sales] = cluster.app("old").health().subscriptions.filter(({ name }) => name === "sales");
    assertEquals([sales.state, sales.retrying, sales.dead], ["leading", 20_000, 0]);
    await cluster.start("new");
    await eventually("all to be handled", () => handled.length === 20_001);
  });

  it("wait for a version that is away for as long as for an outage, and are dead letters then", async () => {
    let refusals = 0;
    const input = z.object({ seat, channel: z.string().refine(() => ++refusals > 100) });
    const Sold = event("Sold", { durable: true, input, key: (e) => e.seat });
    const handlers = Sold.on(() => {}, { name: "sales", retry: { outage: 60_000 } });
    await using cluster = await testCluster(["old", "web"], {
      logger: QUIET,
      node: (id) => id === "web" ? { service: "web" } : { service: "shop", handlers },
    });
    const web = cluster.app("web");
    await web.publish(v2.Sold, { seat: "A", channel: "kiosk" });
    await eventually("it to wait", () => waiting([cluster.app("old")]) === 1);
    await cluster.advance(59_000);
    assertEquals([waiting([cluster.app("old")]), await dead(web)], [1, 0]);
    await cluster.advance(2_000);
    assertEquals([waiting([cluster.app("old")]), await dead(web)], [0, 1]);
  });

  it("that a canary wrote which was taken back wait, whoever leads meanwhile", async () => {
    const handled: string[] = [];
    await using cluster = await shop(handled, "old1", "old2", "web");
    const web = cluster.app("web");
    await web.publish(v2.Sold, { seat: "A", channel: "kiosk" });
    const leader = await cluster.leader("shop/sales");
    await eventually("it to wait", () => waiting([cluster.app(leader)]) === 1);
    cluster.kill(leader);
    const next = leader === "old1" ? "old2" : "old1";
    await eventually("the next leader to know that it waits", async () => {
      await cluster.advance(1_000);
      return waiting([cluster.app(next)]) === 1;
    });
    await cluster.start("new");
    await cluster.handled();
    assertEquals([handled, await dead(web)], [["A new"], 0]);
  });

  it("that their writer's version refuses, too, are dead letters once all versions have refused them", async () => {
    const handled: string[] = [];
    await using cluster = await shop(handled, "old", "new", "web");
    const web = cluster.app("web");
    // this contract lacks the refinement of its writer's contract, which a JSON Schema cannot show, so both have the
    // same shape
    const Loose = event("Sold", {
      durable: true,
      input: z.object({ seat: z.string(), channel: z.enum(["web", "app", "kiosk"]) }),
      key: (e) => e.seat,
    });
    assertEquals((await web.publish(Loose, { seat: "poison", channel: "kiosk" })).ok, true);
    await cluster.handled();
    assertEquals([handled, await dead(web)], [[], 1]);
  });
});
