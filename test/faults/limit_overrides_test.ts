/** Fault: a key of a limit is paused, and the limit set, under load, while the nodes that lead are killed. */
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { cliHere } from "../support/cli_here.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";

const BILLING: LogHandler = { category: "Happened", name: "billing", limit: { name: "bank", running: 4 } };

describe("what operators set of a limit", await requireNatsServer(), () => {
  // docs/cli.md, limits: kept over restarts; an override is never lost and never doubled; lost 0, out of order 0
  it("is kept over the deaths of its leaders, while others set more; the paused key waits, and goes on in order", {
    timeout: 600_000,
  }, async () => {
    await using cluster = await LogCluster.open({ handles: [BILLING], nodes: ["d1", "b1", "d2"] });
    const publisher = await cluster.publisher("d8", { pace: 100, keys: 4 });
    await cluster.more(100);
    const flags = ["--nats", cluster.urls.join(","), "--namespace", cluster.namespace];
    const catga = async (...args: string[]) => {
      const { code, out, err } = await cliHere(["limits", ...args, ...flags]);
      assertEquals(code, 0, err);
      return out;
    };
    const shown = async () => JSON.parse(await catga("--json"));
    await catga("pause", "bank", "--key", "held", "--reason", "test");
    await cluster.publish("Happened", { entry: "held-0", key: "held" });
    // changes while the leader dies: each is in force, once, whoever leads
    for (let round = 1; round <= 6; round++) {
      const leader = await cluster.leader("billing");
      const changes = Promise.all([
        catga("set", "bank", "--running", `${round}`),
        catga("pause", "bank", "--key", `other-${round}`),
        cluster.kill(leader),
      ]);
      await changes;
      await cluster.publish("Happened", { entry: `held-${round}`, key: "held" });
      await cluster.start(leader);
      await cluster.leader("billing");
      await cluster.more(20);
      const { override } = await shown();
      const others = Array.from({ length: round }, (_, i) => `other-${i + 1}`);
      assertEquals(override.keys.map(({ key }: { key: string }) => key), ["held", ...others]);
      assertEquals([override.set.running, override.keys[0].reason], [round, "test"]);
    }
    publisher.kill("SIGTERM");
    await publisher.end();
    await cluster.publish("Happened", { entry: "behind-all", key: "another" });
    await cluster.until("the others to be handled", (history) => history.isHandled("app/billing", "behind-all"));
    for (let n = 0; n <= 6; n++) assertEquals(cluster.history.countOf("app/billing", `held-${n}`).runs, 0);
    await eventually("the leader to say what waits", async () => {
      const { waits = [] } = await shown();
      return waits.some(({ key, waiting }: { key: string; waiting: number }) => key === "held" && waiting >= 1);
    });
    const [info] = await cluster.caller.subscriptions();
    assertEquals(info.overrides?.[0].keys?.length, 7);
    assertGreater(info.open + info.lag, 0);
    await catga("clear", "bank");
    assertEquals((await shown()).override, undefined);
    await cluster.finish();
    for (let n = 0; n <= 6; n++) assertEquals(cluster.history.countOf("app/billing", `held-${n}`).runs, 1);
  });
});
