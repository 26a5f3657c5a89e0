/** Fault: leaders are killed while their dead letters are buried, discarded and replayed. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { DeadLetter } from "../../src/contract/calls/durable_messages.ts";
import { logFile } from "../processes/log_file.ts";
import type { LogLine, Task } from "../processes/log_messages.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";

const SUB = "app/billing";
const BILLING: LogHandler = { category: "Happened", name: "billing", retry: { attempts: 1 }, timeout: 120_000 };
const NODES = ["d1", "b1", "b2"];
const COUNT = 6;

describe("a dead letter whose leader is killed", await requireNatsServer(), () => {
  it("as it is buried does not come back when it is discarded, also when the next leader is killed as it goes", {
    timeout: 1_200_000,
  }, async () => {
    await using cluster = await LogCluster.open({ handles: [BILLING], nodes: NODES });
    const [first, [entry]] = await fatal(cluster, 1);
    await cluster.kill(first);
    const [letter] = await letters(cluster);
    cluster.discarded(SUB, entry);
    await letter.discard();
    await eventually("the letter to go", async () => (await letters(cluster)).length === 0);
    await cluster.kill(await cluster.leader("billing"));
    await cluster.publish("Happened", { entry: "later", key: "later" });
    await cluster.settled();
    assertEquals(cluster.history.countOf(SUB, entry).runs, 1);
    assertEquals((await letters(cluster)).map(entryOf), []);
    await cluster.finish();
  });

  it("as it is replayed is handled, if it runs at a node that lives, and does not block its key", {
    timeout: 1_200_000,
  }, async () => {
    await using cluster = await LogCluster.open({ handles: [BILLING], nodes: [...NODES, "d2"] });
    const [first, entries] = await fatal(cluster, COUNT);
    await Promise.all(entries.map((entry) => cluster.publish("Happened", { entry: `behind-${entry}`, key: entry })));
    // the next leader knows that its predecessor did not end by itself
    await cluster.kill(first);
    await cluster.leader("billing");
    await cluster.openGate("mended");
    for (const letter of await letters(cluster)) {
      cluster.replayed(SUB, entryOf(letter));
      await letter.replay();
    }
    const again = (entry: string) => cluster.history.countOf(SUB, entry).runs === 2;
    await cluster.until("their second runs", () => entries.every(again));
    const leader = await cluster.leader("billing");
    const { pid } = cluster.node(leader);
    const last = await lastRuns(cluster);
    const elsewhere = entries.filter((entry) => last.get(entry) !== pid);
    assertNotEquals(elsewhere, []);
    await cluster.kill(leader);
    await cluster.openGate("gate");
    await eventually("another leader", async () => await cluster.leader("billing") !== leader);
    await cluster.until("them and those behind to be handled, or dead letters", (history) => {
      return elsewhere.every((entry) => history.isHandled(SUB, entry) && history.isHandled(SUB, `behind-${entry}`));
    }, 10_000).catch(() => {});
    const dead = (await letters(cluster)).map(entryOf);
    assertEquals(elsewhere.filter((entry) => dead.includes(entry)), []);
    assertEquals(elsewhere.filter((entry) => !cluster.history.isHandled(SUB, `behind-${entry}`)), []);
    for (const letter of await letters(cluster)) {
      cluster.discarded(SUB, entryOf(letter));
      await letter.discard();
    }
    await cluster.finish();
  });
});

/**
 * Publishes messages that are dead letters until they are mended, and then wait for a gate. Resolves as soon as they
 * are dead.
 */
async function fatal(cluster: LogCluster, count: number): Promise<[leader: string, entries: string[]]> {
  await cluster.publish("Happened", { entry: "before", key: "before" });
  await cluster.settled();
  const entries = Array.from({ length: count }, (_, i) => `fatal-${i}`);
  const deed = { how: "fail", times: 99, until: "mended", gate: "gate" } as const;
  const leader = await cluster.leader("billing");
  await Promise.all(entries.map((entry) => cluster.publish("Happened", { entry, key: entry, deed })));
  await eventually("dead letters", async () => (await letters(cluster)).length === count);
  return [leader, entries];
}

function letters(cluster: LogCluster): Promise<DeadLetter[]> {
  return Array.fromAsync(cluster.caller.deadLetters());
}

function entryOf({ payload }: DeadLetter): string {
  return (payload as Task).entry;
}

/** The process of each entry's last run. */
async function lastRuns(cluster: LogCluster): Promise<Map<string, number>> {
  const lines = (await readFile(logFile(cluster.folder), "latin1")).split("\n").slice(0, -1);
  const begun = lines.map((line) => JSON.parse(line) as LogLine).filter((line) => line.event === "begin");
  return new Map(begun.map(({ entry, pid }) => [entry, pid]));
}
