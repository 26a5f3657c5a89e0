/**
 * Fault: the server of the log is restarted, with and without its store; the log is deleted, cut short, or brought back
 * from a copy.
 */
import { assert, assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { cp, rm } from "node:fs/promises";
import { describe, it } from "node:test";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import { LogCluster } from "../support/log_cluster.ts";
import { withManager } from "../support/log_stream.ts";
import { Standstill } from "../support/standstill.ts";

const HANDLES: readonly LogHandler[] = [{ category: "Happened", name: "billing" }];
const SUB = "app/billing";
/** How soon after its server is back the log is handled again, in ms. */
const BACK = 5_000;

describe("the log and its server", await requireNatsServer(), () => {
  it("goes on within 5 s of a restart, and nothing is lost", { timeout: 1_200_000 }, async () => {
    await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"] });
    const publisher = await cluster.publisher("b8", { pace: 200, timeout: 10_000 });
    for (const by of ["SIGKILL", "SIGTERM"] as const) {
      await more(cluster, 300);
      cluster.fault(by);
      await cluster.server.kill(by);
      await wait(2_000);
      await cluster.restartServer();
      await within(cluster, () => more(cluster, 1));
    }
    await end(publisher);
    await cluster.finish();
  });

  for (
    const [what, harm] of [
      ["a restart without its store", async (cluster) => {
        await cluster.server.kill("SIGKILL");
        cluster.lost();
        cluster.rewound(SUB); // of what was handled until then
        await cluster.restartServer({ wipe: true });
      }],
      ["the loss of its stream", (cluster) =>
        withManager(cluster.urls, async (manager) => {
          cluster.lost();
          await manager.streams.delete(streamName(cluster.namespace, "log"));
        })],
      ["the loss of its records", (cluster) =>
        withManager(cluster.urls, async (manager) => {
          await manager.streams.delete(streamName(cluster.namespace, "subscriptions"));
        })],
    ] as [string, (cluster: LogCluster) => Promise<void>][]
  ) {
    it(`handles what is new after ${what}, and says what was lost`, { timeout: 1_200_000 }, async () => {
      await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"] });
      const publisher = await cluster.publisher("b8", { pace: 200, timeout: 10_000 });
      await more(cluster, 400);
      cluster.fault(what);
      cluster.rewound(SUB); // a record that is lost may begin again
      await harm(cluster);
      await within(cluster, () => more(cluster, 1));
      await more(cluster, 200);
      await end(publisher);
      // what stood in a store that is gone is lost; all that came later is handled
      for (let i = 0; i < 20; i++) {
        const { ok, error } = await cluster.publish("Happened", { entry: `new-${i}`, key: "new" });
        assert(ok, `${error}`);
      }
      await cluster.until("what is new to be handled", (history) => history.isHandled(SUB, "new-19"));
      const inOrder = cluster.history.handled(SUB).filter((entry) => entry.startsWith("new-"));
      assertEquals(inOrder, Array.from({ length: 20 }, (_, i) => `new-${i}`));
      assertEquals((await cluster.read()).violations.slice(0, 10), []);
      if (/stream|store/.test(what)) assertMatch(cluster.output, /lost|made again|remade/i);
      await cluster.stopAll();
    });
  }

  it("handles what is new after the log was cut short, and after it came back from an older copy", {
    timeout: 1_200_000,
  }, async () => {
    await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"] });
    const all = async (name: string, count: number) => {
      for (let i = 0; i < count; i++) await cluster.publish("Happened", { entry: `${name}-${i}`, key: name });
      await cluster.until(
        `${name} to be handled`,
        (history) => history.isHandled(SUB, `${name}-${count - 1}`),
      );
    };
    await all("old", 20);
    // a copy of the log alone: the records are newer than it
    const stream = join("jetstream", "$G", "streams", streamName(cluster.namespace, "log"));
    const copy = join(cluster.folder, "copy");
    await cluster.server.kill("SIGTERM");
    await cp(join(cluster.server.storeDir, stream), copy, { recursive: true });
    cluster.fault("copied");
    await cluster.restartServer();
    await all("lost", 20);
    cluster.fault("brought back");
    await cluster.server.kill("SIGTERM");
    const { storeDir } = cluster.server;
    await rm(join(storeDir, stream), { recursive: true });
    await cp(copy, join(storeDir, stream), { recursive: true });
    await cluster.restartServer();
    await all("new", 20);
    cluster.fault("purged");
    await withManager(cluster.urls, (manager) => manager.streams.purge(streamName(cluster.namespace, "log")));
    await all("newest", 20);
    assertEquals((await cluster.read()).violations, []);
    assertMatch(cluster.output, /lost|behind|replaced|truncated/i);
    await cluster.stopAll();
  });

  it("refuses what it has no room for, and goes on when there is room again", { timeout: 1_200_000 }, async () => {
    const server = { config: "jetstream { max_file_store: 4MB }" };
    await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"], server });
    await withManager(cluster.urls, async (manager) => {
      await manager.streams.add({ name: "others", subjects: ["others"] });
      for (let i = 0; i < 5; i++) await manager.jetstream().publish("others", new Uint8Array(500_000));
    });
    await cluster.publish("Happened", { entry: "before", key: "a" });
    await cluster.settled();
    const large = "x".repeat(200_000);
    let refused: string | undefined;
    for (let i = 0; refused === undefined && i < 40; i++) {
      const task = { entry: `large-${i}`, key: "large", large };
      const { error } = await cluster.publish("Happened", task, { timeout: 1_500 });
      refused = error && `${error.code} ${error.message}`;
    }
    console.log(`refused: ${refused}`);
    assertMatch(refused ?? "", /^UNAVAILABLE .*(full|room|space|resources|storage)/i);
    // no lease of a leader is stored either: what is not handled by now is when there is room
    await withManager(cluster.urls, (manager) => manager.streams.delete("others"));
    await cluster.finish();
  });
});

async function more(cluster: LogCluster, count: number): Promise<void> {
  const { length } = (await cluster.read()).handled(SUB);
  await cluster.until("more to be handled", (history) => history.handled(SUB).length >= length + count);
}

/** Does it in the time after which the log is handled again; what a busy machine stands still does not count. */
async function within(cluster: LogCluster, handle: () => Promise<void>): Promise<void> {
  await using standstill = await Standstill.watch(cluster.urls);
  const since = standstill.stopwatch();
  await handle();
  const took = since();
  console.log(`handled again after ${Math.round(took)} ms`);
  assertLess(took, BACK);
}

async function end(publisher: Awaited<ReturnType<LogCluster["publisher"]>>): Promise<void> {
  publisher.kill("SIGTERM");
  await publisher.end();
  const [done] = publisher.lines.filter((line) => line.event === "done");
  assertGreater(done.ok, 0);
}
