/** The checkers of the log, over processes whose library has a bug: each must find it, and nothing without the bug. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import { chances } from "../support/chances.ts";
import { LogCluster } from "../support/log_cluster.ts";
import { MARGIN } from "../support/log_history.ts";
import { loseAcknowledgements } from "../support/lost_acknowledgements.ts";
import { withManager } from "../support/log_stream.ts";

const BILLING: LogHandler = { category: "Happened", name: "billing", retry: { attempts: 3, delay: [50, 100] } };
const SUB = "app/billing";

/** A run of processes of a tree, and what the checkers say of it. */
type Run = (root: string | undefined) => Promise<readonly string[]>;

/** Processes in Bun, which compiles the sources of a new tree in less time. */
const open = (root: string | undefined, nodes: readonly string[] = ["b1", "b2"]) =>
  LogCluster.open({ handles: [BILLING], nodes, root, excusesStalls: root === undefined });

/** Acknowledgements of publishing are lost. */
const lostAcknowledgements: Run = async (root) => {
  await using nats = await startNatsServer();
  const link = await startTcpProxy(nats.port);
  try {
    await using cluster = await LogCluster.open({
      ...{ handles: [BILLING], nodes: ["b1"], urls: [nats.url], root, excusesStalls: root === undefined },
    });
    const publisher = await cluster.publisher("b8", { atOnce: 200, timeout: 20_000, url: link.url });
    await loseAcknowledgements(cluster, link);
    publisher.kill("SIGTERM");
    await publisher.end();
    return await cluster.violations();
  } finally {
    await link.close();
  }
};

/** The leader is killed with messages in hand, after some time of work. */
const killedLeader: Run = async (root) => {
  await using cluster = await open(root);
  const publisher = await cluster.publisher("b8", { pace: 200, keys: 8, count: 600 });
  await publisher.end();
  await cluster.until("all to be handled", (history) => history.missing(SUB).length === 0);
  await wait(MARGIN + 1_000); // what a leader has not written down by then is a fault
  for (let i = 0; i < 14; i++) {
    await cluster.publish("Happened", { entry: `held-${i}`, key: `k${i % 7}`, deed: { how: "gate", file: "gate" } });
  }
  await cluster.until("some to begin", (history) => history.countOf(SUB, "held-0").runs > 0);
  await wait(500); // until the record has them
  await cluster.kill(await cluster.leader("billing"));
  await cluster.openGate("gate");
  await cluster.publish("Happened", { entry: "later", key: "later" });
  await cluster.until("a later one to be handled", (history) => history.isHandled(SUB, "later"));
  // what is handled at all is by now, or soon
  const missing = () => cluster.history.missing(SUB);
  await cluster.until("all to be handled", () => missing().length === 0, 5_000).catch(() => {});
  return [...await cluster.violations(), ...missing().map((entry) => `${entry}: not handled`)];
};

/** Messages of a key take a while. */
const slowKey: Run = async (root) => {
  await using cluster = await open(root);
  for (let i = 0; i < 20; i++) {
    await cluster.publish("Happened", { entry: `slow-${i}`, key: "k", deed: { how: "slow", ms: 20 } });
  }
  await cluster.settled();
  return await cluster.violations();
};

/** The leader is frozen for longer than its lease, and goes on. */
const frozenLeader: Run = async (root) => {
  await using cluster = await open(root, ["b1", "b2", "b3"]);
  const publisher = await cluster.publisher("b8", { pace: 300, keys: 12 });
  await cluster.until("some load", ({ sums }) => sums.ok > 300);
  const leader = await cluster.leader("billing");
  cluster.freeze(leader);
  // handled by the next leader; the frozen one reads them when it goes on
  const since = Array.from({ length: 50 }, (_, i) => `since-${i}`);
  for (const entry of since) await cluster.publish("Happened", { entry, key: entry });
  await cluster.until("another one to lead", (history) => since.every((entry) => history.isHandled(SUB, entry)));
  cluster.thaw(leader);
  await cluster.more(2_000);
  publisher.kill("SIGTERM");
  await publisher.end();
  return await cluster.violations();
};

/** A message fails until it is a dead letter, and others of its key follow. */
const deadLetter: Run = async (root) => {
  await using cluster = await open(root);
  await cluster.publish("Happened", { entry: "fails", key: "k", deed: { how: "fail", times: 99 } });
  for (let i = 0; i < 5; i++) await cluster.publish("Happened", { entry: `behind-${i}`, key: "k" });
  await cluster.until("three attempts", (history) => history.countOf(SUB, "fails").runs >= 3);
  await cluster.publish("Happened", { entry: "beside", key: "beside" });
  await cluster.until("another key to flow", (history) => history.isHandled(SUB, "beside"));
  await cluster.until("those behind", (history) => history.isHandled(SUB, "behind-4"), 1_000).catch(() => {});
  return await cluster.violations();
};

/** The stream is deleted. */
const lostStream: Run = async (root) => {
  await using cluster = await open(root, ["b1"]);
  await cluster.publish("Happened", { entry: "before", key: "k" });
  await cluster.settled();
  await withManager(cluster.urls, (manager) => manager.streams.delete(streamName(cluster.namespace, "log")));
  await cluster.publish("Happened", { entry: "after", key: "k" });
  await cluster.until("what is new to be handled", (history) => history.isHandled(SUB, "after"));
  const said = cluster.violations({ stream: false });
  // of a process that has ended, all that it printed has come
  await cluster.retire("b1");
  return /lost|made again|remade/.test(cluster.output) ? await said : ["the loss is not reported", ...await said];
};

const RUNS: readonly (readonly [what: string, run: Run, plants: readonly (readonly [SourcePlant, RegExp])[]])[] = [
  ["acknowledgements that are lost", lostAcknowledgements, [["log-twice", /two positions|2 times in the log/]]],
  ["a leader that is killed", killedLeader, [
    ["log-open", /not handled|overtaken/],
    ["log-position", /again .* without a fault/],
  ]],
  ["a key whose messages take a while", slowKey, [["log-order", /runs beside|begun before/]]],
  ["a leader that was frozen", frozenLeader, [["log-stale", /runs beside|begun before|overtaken|and again/]]],
  ["a dead letter", deadLetter, [
    ["log-dead", /begun before fails had been handled/],
    ["log-attempts", /attempt 1 after attempt 1 had failed/],
  ]],
  ["a stream that is lost", lostStream, [["log-loss", /the loss is not reported/]]],
];

describe("a checker of the log", await requireNatsServer(), () => {
  for (const [what, run, plants] of RUNS) {
    it(`accepts processes without a planted bug: ${what}`, { timeout: 1_200_000 }, async () => {
      assertEquals(await run(undefined), []);
    });
    for (const [plant, says] of plants) {
      it(`finds a planted bug: ${plant}, by ${what}`, { timeout: 1_200_000 }, async () => {
        await using tree = await plantedTree(plant);
        // on a busy machine a fault does not hit what the bug breaks each time
        const violations = await chances(5, () => run(tree.root), (found) => says.test(found.join("\n")));
        console.log(`${plant}: ${violations.length} violations, as ${violations[0]}`);
        assertMatch(violations.join("\n"), says);
      });
    }
  }
});
