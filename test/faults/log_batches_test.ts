/**
 * Fault: processes are killed while they handle batches of the log: the node that handles one, the leader that handed
 * it out.
 */
import { assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";
import { firstOf } from "../support/before_release.ts";

const BATCHES: LogHandler = {
  category: "Happened",
  name: "billing",
  retry: { attempts: 3, delay: [50, 200] },
  batch: { max: 20, within: 50 },
};
const SUB = "app/billing";

describe("batches of the log, when processes are killed", await requireNatsServer(), () => {
  for (const victim of firstOf(["the leader", "the node that handles one"])) {
    it(`${victim}: all is handled, in order by key, and little is repeated`, { timeout: 1_200_000 }, async () => {
      await using cluster = await LogCluster.open({
        handles: [BATCHES],
        nodes: ["d1", "b1", "d2"],
      });
      const publisher = await cluster.publisher("d8", { pace: 200, keys: 12 });
      for (let round = 0; round < 3; round++) {
        await cluster.more(200);
        const entries = Array.from({ length: 12 }, (_, i) => `r${round}-${i}`);
        // in the middle of a batch it waits: those before it in the batch have had their effect
        await Promise.all(entries.map((entry, i) =>
          cluster.publish("Happened", {
            entry,
            key: `k${round}-${i % 3}`,
            deed: i === 6 ? { how: "gate", file: `gate-${round}` } : { how: "slow", ms: 1 },
          })
        ));
        await cluster.until("the one that waits to begin", (history) => history.countOf(SUB, entries[6]).runs > 0);
        const leader = await cluster.leader("billing");
        const killed = victim === "the leader" ? leader : ["d1", "b1", "d2"].find((id) => id !== leader)!;
        await cluster.kill(killed);
        await cluster.openGate(`gate-${round}`);
        await cluster.until("all to be handled", (history) => entries.every((it) => history.isHandled(SUB, it)));
        await cluster.start(killed);
      }
      const { sums } = await cluster.read();
      assertGreater(sums.ok, 600);
      publisher.kill("SIGTERM");
      await publisher.end();
      await cluster.finish();
    });
  }

  it("a member that kills its process becomes a dead letter alone, and the others are handled", {
    timeout: 1_200_000,
  }, async () => {
    await using cluster = await LogCluster.open({ handles: [BATCHES] });
    await Promise.all(["d1", "b1"].map((id) => cluster.keep(id)));
    const entries = Array.from({ length: 15 }, (_, i) => `m${i}`);
    const deadly = { how: "die", when: "before", always: true } as const;
    await Promise.all(
      entries.map((entry) =>
        cluster.publish("Happened", { entry, key: entry, ...(entry === "m7" ? { deed: deadly } : {}) })
      ),
    );
    const others = entries.filter((entry) => entry !== "m7");
    await cluster.until("the others to be handled", (history) => others.every((it) => history.isHandled(SUB, it)));
    await eventually("its dead letter", async () => {
      for await (const letter of cluster.caller.deadLetters({ subscription: "billing" })) {
        cluster.discarded(SUB, "m7");
        await letter.discard();
        return true;
      }
    });
    await cluster.finish();
  });
});
