/** No fault, but a deployment: every node gets SIGTERM and is started again, one after the other, at full load. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { DRAINED } from "../processes/node_process.ts";
import { Read, Record, Slow } from "../processes/node_messages.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster } from "../support/fault_cluster.ts";
import { Load } from "../support/checked_sends.ts";

describe("a rolling restart of three nodes at full load", await requireNatsServer(), () => {
  // docs/cluster.md, crash semantics, "drain": requests in hand there, new requests
  it("loses no command, and no send fails", { timeout: 1_200_000 }, async () => {
    // Promise: a node that drains finishes what it has, and what it refuses goes to another node.
    const nodes = ["d1", "b1", "d2"];
    await using cluster = await FaultCluster.open({ nodes });
    const { caller, sends } = cluster;
    await using second = await cluster.app({ id: "second" });
    await eventually("it to see all", () => second.nodes().length === nodes.length + 2);
    const load = new Load(384, (i) => {
      const app = i % 2 === 0 ? caller : second;
      return i % 8 === 0 ? sends.send(app, Slow, 30) : sends.send(app, i % 3 === 0 ? Read : Record);
    });
    for (const id of nodes) {
      const before = load.done;
      await eventually("some load", () => load.done > before + 5_000);
      const told = cluster.signal(id, "SIGTERM");
      const { by, at } = await cluster.node(id).program.end();
      assert(DRAINED.includes(by), `ended by ${by}`);
      await cluster.start(id);
      await cluster.complete();
      console.log(`${id} restarted: it had ended after ${at - told} ms, and was back after ${Date.now() - told} ms`);
    }
    await load.stop();
    console.log(`rolling restart: ${sends.tally()}`);
    assertEquals(sends.failures(), []);
    await cluster.finish();
  });
});
