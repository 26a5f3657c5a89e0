/**
 * Fault: nodes that decide commands of one entity, and send them, are killed, paused and cut off from NATS; their
 * clocks disagree by hours.
 */
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { SKEWS } from "../processes/skewed_clock.ts";
import { connectsAgain, startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import { EntityCluster } from "../support/entity_cluster.ts";

const NODES = ["d1", "b1", "d2", "b2"];

describe("the promises of entities", await requireNatsServer(), () => {
  // docs/entities.md, crash semantics, "ok means stored": crashed, paused, cut off, own clock
  // docs/entities.md, crash semantics, "applied once for its id": crashed, paused, cut off, own clock
  // docs/entities.md, crash semantics, "decided on the latest state": crashed, paused, cut off, own clock
  it("hold when nodes that decide and send are killed, paused and cut off", { timeout: 1_200_000 }, async () => {
    await using server = await startNatsServer();
    const links = new Map<string, TcpProxy>();
    await using cluster = await EntityCluster.open([server.url], { writers: 8, pause: 50, own: true });
    const start = (id: string) =>
      cluster.start(id, { skew: SKEWS[NODES.indexOf(id) % SKEWS.length] }, [links.get(id)!.url]);
    try {
      for (const id of NODES) {
        links.set(id, await startTcpProxy(server.port));
        await start(id);
      }
      await cluster.more(200);
      const [killed, paused, cut, half] = NODES;
      for (let round = 0; round < 2; round++) {
        cluster.signal(paused, "SIGSTOP");
        await cluster.more(150);
        links.get(cut)!.cut();
        await cluster.more(50);
        await cluster.kill(killed);
        await cluster.more(50);
        cluster.signal(paused, "SIGCONT");
        const [cutLink, halfLink] = [links.get(cut)!, links.get(half)!];
        await connectsAgain(cutLink, () => cutLink.restore());
        await connectsAgain(halfLink, () => halfLink.halfClose());
        await start(killed);
        await cluster.more(200);
      }
      await cluster.more(100);
      await cluster.stop();
      const { violations, sums } = await cluster.check();
      console.log(JSON.stringify(sums));
      assertEquals(violations.slice(0, 10), []);
      assertGreater(sums.refused, 0);
    } finally {
      for (const link of links.values()) await link.close();
    }
  });
});
