/** Fault: of three NATS servers that replicate the log, the one that leads it is killed, and the quorum is lost. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import process from "node:process";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { ServerTrio } from "../processes/server_trio.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import { standsStill } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";
import { leaderOf } from "../support/log_stream.ts";

const HANDLES: readonly LogHandler[] = [{ category: "Happened", name: "billing" }];
const SETTLED = 240_000; // ms: elections of up to 10 s, and a busy machine

describe("the log on three servers", await requireNatsServer(), () => {
  it(
    "is stored once, answered truthfully and handled in order, when its leader is killed again and again, and the quorum is lost",
    {
      timeout: 1_200_000,
    },
    async () => {
      await using nats = await ServerTrio.open();
      const { urls } = nats.cluster;
      await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1", "d2"], urls, replicas: 3 });
      const load = { pace: 100, keys: 6, timeout: 20_000 };
      const publishers = await Promise.all(["d8", "b8"].map((id) => cluster.publisher(id, load)));
      for (let round = 0; round < 3; round++) {
        await more(cluster, 200);
        const server = await leaderOf(urls, streamName(cluster.namespace, "log"));
        const before = await cluster.leader("billing");
        cluster.fault(`n${server} killed`);
        await nats.server(server).stop("SIGKILL");
        await more(cluster, 200);
        cluster.fault(`n${server} started`);
        await nats.server(server).start({ wipe: round === 1 });
        const after = await cluster.leader("billing");
        console.log(`n${server} led the log and was killed; ${before} led the subscription, then ${after}`);
      }
      const ms = 1_000 * Number(process.env.CATGA_FAULT_SECONDS ?? 5);
      await more(cluster, 200);
      cluster.fault("quorum lost");
      await Promise.all([0, 1].map((i) => nats.server(i).freeze()));
      await standsStill("nothing more to be stored", async () => (await cluster.read()).sums.ok, ms);
      cluster.fault("quorum found");
      await Promise.all([0, 1].map((i) => nats.server(i).thaw()));
      await more(cluster, 200);
      for (const publisher of publishers) publisher.kill("SIGTERM");
      for (const publisher of publishers) await publisher.end();
      const done = publishers.flatMap(({ lines }) => lines.filter((line) => line.event === "done"));
      console.log(JSON.stringify(done));
      assertEquals(done.length, publishers.length);
      await cluster.settled(SETTLED);
      await cluster.finish();
    },
  );
});

async function more(cluster: LogCluster, count: number): Promise<void> {
  await cluster.more(count, SETTLED);
}
