/** The checkers of the fault suite, over nodes that have a bug: each must find it. */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { unwrap } from "../../mod.ts";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { Flood, Read, Record, Slow, StartLoad, StopLoad } from "../processes/node_messages.ts";
import { type Plant, PLANTED } from "../processes/plants.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster, FLAT } from "../support/fault_cluster.ts";
import { Load } from "../support/checked_sends.ts";

describe("a checker of the fault suite", await requireNatsServer(), () => {
  for (const buggy of ["d1", "b1"]) {
    it(`finds that a command ran twice, under load and a kill: ${buggy}`, { timeout: 1_200_000 }, async () => {
      const violations = await underLoad(buggy, "double-run");
      assertGreater(violations.length, 10);
      for (const line of violations) {
        assertMatch(line, /ran 2 time\(s\), on (.1) at \d+, on \1|message id .* ran 2 times/);
      }
    });

    it(`finds an acknowledgement without a run, under load and a kill: ${buggy}`, { timeout: 1_200_000 }, async () => {
      const violations = await underLoad(buggy, "lost-acknowledgement");
      assertGreater(violations.length, 10);
      for (const line of violations) {
        assertMatch(
          line,
          / [db]1, and ran 0 time\(s\)$|answered, and never ran$|told ([db]1), and ran 1 time\(s\), on (?!\1)/,
        );
      }
    });
  }

  it("accepts a cluster without a planted bug, under load and a kill", { timeout: 1_200_000 }, async () => {
    assertEquals(await underLoad("d1"), []);
  });

  for (
    const [plant, says] of [["double-run", / ran on b1 and b1$/], ["lost-acknowledgement", / did not run$/]] as const
  ) {
    it(`finds the bug in loads between nodes, too: ${plant}`, { timeout: 1_200_000 }, async () => {
      await using cluster = await FaultCluster.open({ nodes: ["d1"] });
      await cluster.start("b1", { plant });
      await cluster.complete();
      unwrap(await cluster.caller.send(StartLoad, undefined, { node: "d1" }));
      await eventually("some load", async () => (await cluster.log.acknowledged()).length > 10 * PLANTED);
      unwrap(await cluster.caller.send(StopLoad, undefined, { node: "d1" }));
      const violations = await cluster.log.violations("Record");
      assertGreater(violations.length, 1);
      for (const line of violations) assertMatch(line, says);
    });
  }

  for (const leaky of ["d1", "b1"]) {
    it(`finds that the heap grows: ${leaky}`, { timeout: 1_200_000 }, async () => {
      await using cluster = await FaultCluster.open();
      await Promise.all([cluster.start(leaky, { plant: "leak" }), cluster.start("d2")]);
      await cluster.complete();
      const flood = { to: "d2", count: 100_000 };
      const { growth } = unwrap(await cluster.caller.send(Flood, flood, { node: leaky, timeout: 200_000 }));
      assert(growth[3] > FLAT, `the heap grew by ${growth} bytes`);
    });
  }
});

/** The violations of a load over two nodes, one of which has a bug and one of which is killed. */
async function underLoad(buggy: string, plant?: Plant): Promise<string[]> {
  await using cluster = await FaultCluster.open();
  const { caller, sends, log } = cluster;
  await Promise.all(["d1", "b1"].map((id) => cluster.start(id, plant !== undefined && id === buggy ? { plant } : {})));
  await cluster.complete();
  const load = new Load(48, (i) => sends.send(caller, [Read, Record, Slow][i % 3], 10));
  await eventually("some load", () => load.done > 100 * PLANTED);
  cluster.signal(buggy === "d1" ? "b1" : "d1", "SIGKILL");
  const before = load.done;
  await eventually("some more", () => load.done > before + 10 * PLANTED);
  await load.stop();
  return sends.violations(log);
}
