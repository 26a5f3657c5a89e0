/** Fault: commands of one entity on many processes, while these are killed and the servers of its stream fail. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { ServerTrio } from "../processes/server_trio.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import { standsStill } from "../support/eventually.ts";
import { EntityCluster, NAMESPACE } from "../support/entity_cluster.ts";
import { leaderOf } from "../support/log_stream.ts";
import { itBeforeRelease } from "../support/before_release.ts";

/** How long the quorum is lost, in seconds. */
const SECONDS = Number(process.env.CATGA_FAULT_SECONDS ?? 4);

describe("an entity and its faults", await requireNatsServer(), () => {
  // with each change: entities_crash_semantics_test.ts, and the storm of three servers
  itBeforeRelease(
    "100 writers in six processes on three servers: each command applied once and answered truthfully, through kills of nodes and leaders and a lost quorum",
    { timeout: 1_200_000 },
    async () => {
      await using nats = await ServerTrio.open();
      const { urls } = nats.cluster;
      const options = { replicas: 3, writers: 17, pause: 100, own: true, made: true };
      await using cluster = await EntityCluster.open(urls, options);
      const ids = ["d1", "b1", "d2", "b2", "d3", "b3"];
      for (const id of ids) await cluster.start(id);
      await cluster.more(300);
      for (const id of ["d1", "b2"]) {
        await cluster.kill(id);
        await cluster.more(50);
        await cluster.start(id);
      }
      const leader = await leaderOf(urls, streamName(NAMESPACE, "entities"));
      await nats.server(leader).stop("SIGKILL");
      await cluster.more(50);
      await nats.server(leader).start({ wipe: false });
      await cluster.more(50);
      await Promise.all([0, 1].map((i) => nats.server(i).freeze()));
      await standsStill("nothing more to be acknowledged", () => cluster.acknowledged(), 1_000 * SECONDS);
      await Promise.all([0, 1].map((i) => nats.server(i).thaw()));
      await cluster.more(100);
      await cluster.stop();
      const { violations, sums } = await cluster.check();
      console.log(JSON.stringify(sums));
      assertEquals(violations.slice(0, 10), []);
      assertGreater(sums.refused, 0);
      assertGreater(sums.stored, 500);
    },
  );

  it(
    "all nodes and the server are killed: what is sent again, on other nodes, is applied once and has the same result",
    {
      timeout: 1_200_000,
    },
    async () => {
      const storeDir = await mkdtemp(join(tmpdir(), "catga-entities-store-"));
      let server = await startNatsServer({ storeDir });
      const { port, url } = server;
      try {
        await using cluster = await EntityCluster.open([url], { writers: 10, pause: 20 });
        for (const id of ["d1", "b1"]) await cluster.start(id);
        await cluster.more(120);
        await Promise.all([cluster.kill("d1"), cluster.kill("b1"), server.kill("SIGKILL")]);
        await server.stop();
        const before = await cluster.lines();
        server = await startNatsServer({ port, storeDir });
        for (const id of ["d2", "b2"]) await cluster.start(id, { again: true });
        for (const id of ["d2", "b2"]) await cluster.hasSentAgain(id);
        const answers = (await cluster.lines()).slice(before.length);
        const sent = before.filter((line) => line.event === "sent" && !line.refused).length;
        assertEquals(answers.length, 2 * sent);
        assertEquals(answers.filter((line) => line.event === "sent" || line.how !== "ok"), []);
        const { violations, sums } = await cluster.check();
        console.log(JSON.stringify(sums));
        assertEquals(violations.slice(0, 10), []);
      } finally {
        await server.stop();
        await rm(storeDir, { recursive: true, force: true });
      }
    },
  );

  it("nodes that are killed all at once: what was acknowledged is there, what was sent again is there once", {
    timeout: 1_200_000,
  }, async () => {
    await using server = await startNatsServer();
    await using cluster = await EntityCluster.open([server.url], { writers: 20, pause: 5 });
    for (let round = 0; round < 3; round++) {
      for (const id of ["d1", "b1"]) await cluster.start(id);
      await cluster.more(200);
      await Promise.all(["d1", "b1"].map((id) => cluster.kill(id)));
    }
    const { violations, sums } = await cluster.check();
    assertEquals(violations.slice(0, 10), []);
    assert(sums.stored >= sums.ok, JSON.stringify(sums));
  });
});
