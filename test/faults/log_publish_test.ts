/** Fault: acknowledgements of publishing are lost, and servers killed: every `ok` is in the log, once. */
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { LogCluster } from "../support/log_cluster.ts";
import { loseAcknowledgements } from "../support/lost_acknowledgements.ts";

/** How many messages each app sends in a second, and how many more are stored before and behind each fault. */
const [PACE, MORE] = [20, 1_000];

describe("publishing to the log", await requireNatsServer(), () => {
  it("100 publishers, while the server is killed, stopped and frozen: every ok is in the log, once", {
    timeout: 1_200_000,
  }, async () => {
    await using cluster = await LogCluster.open({
      handles: [{ category: "Happened", name: "billing" }],
      nodes: ["b1"],
    });
    const many = { apps: 25, keys: 2, pace: PACE, timeout: 15_000 };
    const publishers = await Promise.all(
      ["d8", "b8", "d9", "b9"].map((id, i) => cluster.publisher(id, { ...many, ids: i === 1, replicas: 1 })),
    );
    const { server } = cluster;
    for (const by of ["SIGKILL", "SIGTERM", "SIGKILL"] as const) {
      await cluster.more(MORE);
      cluster.fault(by);
      await server.kill(by);
      await wait(300);
      await cluster.restartServer();
    }
    await cluster.more(MORE);
    cluster.fault("freeze");
    await cluster.server.kill("SIGSTOP");
    await wait(1_000);
    await cluster.server.kill("SIGCONT");
    await cluster.more(MORE);
    for (const publisher of publishers) publisher.kill("SIGTERM");
    for (const publisher of publishers) await publisher.end();
    const done = publishers.flatMap(({ lines }) => lines.filter((line) => line.event === "done"));
    console.log(JSON.stringify(done));
    assertEquals(done.length, publishers.length);
    await cluster.finish();
  });

  it("whose acknowledgements are lost with the connection is stored once, and answered truthfully", {
    timeout: 1_200_000,
  }, async () => {
    await using nats = await startNatsServer();
    const link = await startTcpProxy(nats.port);
    try {
      await using cluster = await LogCluster.open({
        handles: [{ category: "Happened", name: "billing" }],
        nodes: ["b1"],
        urls: [nats.url],
      });
      const publisher = await cluster.publisher("d8", { atOnce: 200, timeout: 20_000, url: link.url });
      await loseAcknowledgements(cluster, link);
      publisher.kill("SIGTERM");
      await publisher.end();
      const [done] = publisher.lines.filter((line) => line.event === "done");
      console.log(JSON.stringify(done));
      assertGreater(done.ok, 4_000);
      await cluster.finish();
    } finally {
      await link.close();
    }
  });
});
