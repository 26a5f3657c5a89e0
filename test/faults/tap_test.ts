/** Fault: a client is subscribed to `catga.>`, so that NATS bounces nothing: every message has a subscriber. */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { Read, Record, Slow } from "../processes/node_messages.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster } from "../support/fault_cluster.ts";

const IN_HAND = 50;
const HEARTBEAT = 3_000;

describe("a client that is subscribed to catga.>", await requireNatsServer(), () => {
  it("is warned of at startup; a node's death is still detected, though later", { timeout: 1_200_000 }, async () => {
    // Promise: the app logs that nothing bounces, and relies on pongs: queries of a dead node move after 500 ms, its
    // commands end at their deadline, new requests avoid it, and it leaves the view when its record expires.
    await using server = await startNatsServer();
    const tap: NatsConnection = await connect({ servers: server.url });
    tap.subscribe("catga.>", { callback() {} });
    await tap.flush();
    try {
      const heartbeat = { heartbeat: HEARTBEAT };
      await using cluster = await FaultCluster.open({
        url: server.url,
        nodes: ["d2"],
        node: heartbeat,
        caller: heartbeat,
      });
      const { caller, sends, said, log } = cluster;
      const warning = /a message to nobody does not come back/;
      await eventually("the caller to be warned", () => said.some((line) => warning.test(line)));
      await eventually("the node to be warned", () => warning.test(cluster.node("d2").program.output));
      for (const victim of ["d1", "b1"]) {
        await cluster.start(victim);
        await cluster.complete();
        const queries = sends.many(IN_HAND, caller, Read, 500);
        const commands = sends.many(IN_HAND, caller, Slow, 60_000, { node: victim, timeout: 2_000 });
        const ran = async () => (await log.runs("Slow")).filter(({ node }) => node === victim).length;
        await eventually("all of it to run", async () => await ran() === IN_HAND);
        const killed = cluster.signal(victim, "SIGKILL");
        assertEquals((await queries).filter(({ result }) => !result.ok), []);
        console.log(`${victim} killed: its queries were answered by another node within ${Date.now() - killed} ms`);
        const later = await sends.many(IN_HAND, caller, Record);
        assertEquals(later.filter(({ result }) => result.value !== "d2"), []);
        for (const { result, ended, due } of await commands) {
          assertEquals(result.error?.code, "OUTCOME_UNKNOWN");
          assertGreaterOrEqual(ended, due - 20);
        }
        await eventually("it to leave the view", () => !caller.nodes().some(({ id }) => id === victim));
        console.log(`${victim} killed: it had left the view ${Date.now() - killed} ms later`);
      }
      assert(cluster.wasSuspect("d1") && cluster.wasSuspect("b1"));
      await cluster.finish();
    } finally {
      await tap.close();
    }
  });
});
