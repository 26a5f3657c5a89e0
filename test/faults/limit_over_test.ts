/**
 * Fault: nodes of both runtimes are killed beside limits of which only the newest waits, limits of batches, and
 * priority, with some ms between the nodes and the server.
 */
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { BEFORE_RELEASE } from "../support/before_release.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";

const SHARED = { category: "Happened", timeout: 240_000, retry: { attempts: 20, delay: [20, 100] } } as const;
/** Of each tenant one runs, and only the newest waits. */
const NEWEST: LogHandler = {
  ...{ ...SHARED, name: "newest" },
  limit: { name: "newest", running: 1, over: "last", by: "tenant" },
};
const ROWS: LogHandler = {
  ...{ ...SHARED, name: "rows", batch: { max: 20, within: 10 } },
  limit: { name: "rows", running: 3, by: "tenant" },
};
const MAILS: LogHandler = {
  ...{ ...SHARED, name: "mails", ahead: ".0" },
  limit: { name: "mails", running: 6, by: "all" },
};
const HANDLES = [NEWEST, ROWS, MAILS];
const LATENCY = 3; // ms, each way
const ROUNDS = BEFORE_RELEASE ? 12 : 2;

const tenantOf = (entry: string) => entry.split("-")[0];
const running = {
  "app/newest": { most: 1, of: tenantOf },
  "app/rows": { most: 3, of: tenantOf },
  "app/mails": { most: 6, of: () => "" },
};

describe("a limit with over, and priority", await requireNatsServer(), () => {
  // docs/log.md, one at a time, or not at all, "the leader crashes": "last"
  // docs/log.md, priority, "a node crashes": priority
  // docs/log.md, priority, "the leader crashes": priority
  it("holds over the deaths of leaders: no more run than may, the newest is handled, nothing else is lost", {
    timeout: 900_000,
  }, async () => {
    await using nats = await startNatsServer();
    await using link = await startTcpProxy(nats.port);
    link.delay(LATENCY);
    await using cluster = await LogCluster.open({
      ...{ handles: HANDLES, urls: [nats.url], history: { running, skipping: ["app/newest"] } },
    });
    cluster.forget("app/newest"); // it skips most
    const nodes = ["d1", "b1", "d2"];
    await Promise.all(nodes.map((id) => cluster.start(id, {}, link.url)));
    const publishers = await Promise.all([
      cluster.publisher("d8", { pace: 15, keys: 6, deed: { how: "slow", ms: 30 }, deedEvery: 3 }),
      cluster.publisher("b8", { pace: 15, keys: 6, deed: { how: "fail", times: 1 }, deedEvery: 7 }),
    ]);
    await cluster.more(50);
    for (let round = 0; round < ROUNDS; round++) {
      const [gate, probe] = [`gate-${round}`, `probe-${round}`];
      // one of each limit still runs when the next leader counts
      const held = ["newest", "rows", "mails"].map((name) => `${name}${round}-held`);
      for (const entry of held) {
        const sub = `app/${entry.slice(0, -`${round}-held`.length)}`;
        await cluster.publish("Happened", { entry, key: entry, deed: { how: "gate", file: gate, in: [sub] } });
        await cluster.until(`${entry} to begin`, (history) => history.countOf(sub, entry).runs > 0);
      }
      const victim = await cluster.leader(HANDLES[round % HANDLES.length].name!);
      await cluster.kill(victim);
      await cluster.publish("Happened", { entry: probe, key: probe });
      await cluster.until(
        "others to go on beside what still runs",
        (history) => ["app/rows", "app/mails", "app/newest"].every((sub) => history.isHandled(sub, probe)),
      );
      await cluster.openGate(gate);
      await cluster.start(victim, {}, link.url);
      await cluster.more(20);
    }
    for (const publisher of publishers) publisher.kill("SIGTERM");
    for (const publisher of publishers) await publisher.end();
    await cluster.settled();
    await cluster.until(
      "the newest of each tenant to be handled",
      (history) =>
        ["d8", "b8"].every((tenant) =>
          history.isHandled("app/newest", history.newest((entry) => tenantOf(entry) === tenant)!)
        ),
    );
    const infos = await eventually("nothing to be left", async () => {
      const all = await cluster.caller.subscriptions();
      return all.every(({ lag, open }) => lag + open === 0) ? all : undefined;
    });
    assertEquals(infos!.flatMap(({ name, skipped = 0 }) => skipped > 0 ? [name] : []), ["newest"]);
    assertGreater(cluster.history.sums.ok, cluster.history.handled("app/newest").length);
    await cluster.finish();
  });
});
