/** Fault: a subscription is paused under load, and its nodes are killed, one after the other, while it is. */
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { cliHere } from "../support/cli_here.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";

const BILLING: LogHandler = { category: "Happened", name: "billing", retry: { attempts: 3, delay: [50, 200] } };
const OTHER: LogHandler = { category: "Happened", name: "mails" };

describe("a paused subscription", await requireNatsServer(), () => {
  // docs/log.md, pause: kept until it is resumed; lost 0, out of order 0, doubled only what a killed process ran
  it("handles nothing over the deaths of all of its nodes, while others go on; and goes on in order", {
    timeout: 600_000,
  }, async () => {
    await using cluster = await LogCluster.open({ handles: [BILLING, OTHER], nodes: ["d1", "b1"] });
    const publisher = await cluster.publisher("d8", { pace: 200, keys: 12 });
    await cluster.more(200);
    const flags = ["--nats", cluster.urls.join(","), "--namespace", cluster.namespace];
    const { code, err } = await cliHere(["subscriptions", "pause", "billing", "--reason", "test", ...flags]);
    assertEquals(code, 0, err);
    const info = async () => (await cluster.caller.subscriptions()).find(({ name }) => name === "billing")!;
    await eventually("what ran to end", async () => (await info()).paused !== undefined && (await info()).open > 0);
    await cluster.more(100);
    const runsNow = async () => (await cluster.read()).sums.runs;
    for (const id of ["d1", "b1"]) {
      await cluster.kill(id);
      await cluster.start(id);
      await cluster.leader("billing");
      await cluster.more(50);
    }
    publisher.kill("SIGTERM");
    await publisher.end();
    await cluster.publish("Happened", { entry: "behind-all", key: "k-all" });
    await cluster.until("the other one to handle all", (history) => history.isHandled("app/mails", "behind-all"));
    assertEquals(cluster.history.countOf("app/billing", "behind-all").runs, 0);
    const { paused, lag, open } = await info();
    assertEquals(paused?.reason, "test");
    assertGreater(lag + open, 0);
    const before = await runsNow();
    const resumed = await cliHere(["subscriptions", "resume", "billing", ...flags]);
    assertEquals(resumed.code, 0, resumed.err);
    await cluster.finish();
    assertGreater(await runsNow(), before);
    assertEquals((await info()).paused, undefined);
  });
});
