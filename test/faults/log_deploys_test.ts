/**
 * Fault: rolling deploys of services that handle the log: renamed subscriptions, new schemas, and events that only the
 * new version knows.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";

const BILLING: LogHandler = { category: "Happened", name: "billing" };
const INVOICES: LogHandler = { category: "Happened", name: "invoices" };
const LATELY: LogHandler = { category: "Lately", name: "billing" };

describe("the log in a rolling deploy", await requireNatsServer(), () => {
  it("an event that only the new version handles is not passed by, and the old ones stay in order", {
    timeout: 1_200_000,
  }, async () => {
    await using cluster = await LogCluster.open({ handles: [BILLING], nodes: ["d1", "b1"] });
    const publisher = await cluster.publisher("b8", { pace: 150, timeout: 10_000 });
    await cluster.until("some load", ({ sums }) => sums.ok > 200);
    // nobody handles it yet: it is not for this subscription
    await cluster.publish("Lately", { entry: "too early", key: "k" });
    const renewed = { version: 2, handles: [BILLING, LATELY] } as const;
    await cluster.start("d2", renewed);
    for (let i = 0; i < 50; i++) await cluster.publish("Lately", { entry: `lately-${i}`, key: `k${i % 3}` });
    cluster.fault("deploy");
    await cluster.retire("d1");
    await cluster.start("b2", renewed);
    for (let i = 50; i < 100; i++) await cluster.publish("Lately", { entry: `lately-${i}`, key: `k${i % 3}` });
    await cluster.retire("b1");
    for (let i = 100; i < 150; i++) await cluster.publish("Lately", { entry: `lately-${i}`, key: `k${i % 3}` });
    await cluster.until(
      "all the new ones to be handled",
      (history) => history.missing("app/billing", ["Lately"]).every((entry) => entry === "too early"),
    );
    publisher.kill("SIGTERM");
    await publisher.end();
    const stored = cluster.history.stored("Lately").map((entry) => Math.floor(Number(entry.split("-")[1]) / 50));
    assert([0, 1, 2].every((part) => stored.includes(part)), "none was stored at one step of the deploy");
    assertEquals(cluster.history.countOf("app/billing", "too early").runs, 0);
    await cluster.finish();
  });

  it("a renamed subscription is a new one, and the old one is shown as abandoned", { timeout: 1_200_000 }, async () => {
    await using cluster = await LogCluster.open({ handles: [BILLING], nodes: ["d1", "b1"] });
    const publisher = await cluster.publisher("d8", { pace: 150, timeout: 10_000 });
    await cluster.until("some load", ({ sums }) => sums.ok > 200);
    const before = new Set(cluster.history.intended.keys());
    const renewed = { version: 2, handles: [INVOICES] } as const;
    await cluster.start("d2", renewed);
    const after = new Set([...(await cluster.read()).intended.keys()].filter((entry) => !before.has(entry)));
    await cluster.publish("Happened", { entry: "for both", key: "k" });
    cluster.fault("deploy");
    await cluster.until(
      "both to handle it",
      (history) => history.isHandled("app/billing", "for both") && history.isHandled("app/invoices", "for both"),
    );
    await cluster.start("b2", renewed);
    await cluster.retire("d1");
    publisher.kill("SIGTERM");
    await publisher.end();
    await cluster.settled();
    await cluster.retire("b1");
    cluster.forget("app/billing");
    await cluster.publish("Happened", { entry: "for the new one", key: "k" });
    const old = await eventually("the old one to be abandoned", async () => {
      const found = (await cluster.caller.subscriptions()).find(({ name }) => name === "billing");
      return found?.abandoned ? found : undefined;
    });
    assert(old!.lag > 0, `its lag is ${old!.lag}`);
    // those that were published before the new one began are not for it; each that was stored since is
    await cluster.until(
      "the new one to have handled the rest",
      (history) => history.missing("app/invoices").every((entry) => before.has(entry) || after.has(entry)),
    );
    assertEquals(await cluster.violations(), []);
    await cluster.stopAll();
  });

  it("what is published right after its first subscriber has started is handled", { timeout: 1_200_000 }, async () => {
    await using cluster = await LogCluster.open({ handles: [] });
    await cluster.publish("Happened", { entry: "too early", key: "k" });
    for (let i = 0; i < 6; i++) {
      const handler: LogHandler = { category: "Happened", name: `first-${i}` };
      await cluster.start(i % 2 === 0 ? "b1" : "d1", { handles: [handler] });
      const { ok } = await cluster.publish("Happened", { entry: `right-after-${i}`, key: "k" });
      assert(ok);
      await cluster.until("it to be handled", (history) => history.isHandled(`app/first-${i}`, `right-after-${i}`));
      assertEquals(cluster.history.countOf(`app/first-${i}`, "too early").runs, 0);
      await cluster.retire(i % 2 === 0 ? "b1" : "d1");
    }
    assertEquals(await cluster.violations(), []);
  });
});
