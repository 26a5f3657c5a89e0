/**
 * Fault: handlers of the log that fail: long retries, dead letters and those behind them, and attempts that survive a
 * leader's death.
 */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { DeadLetter } from "../../src/contract/calls/durable_messages.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { BEFORE_RELEASE } from "../support/before_release.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";

const SUB = "app/billing";
const billing = (attempts: number, delay: readonly [number, number]): LogHandler => ({
  category: "Happened",
  name: "billing",
  retry: { attempts, delay },
});

const MANY = BEFORE_RELEASE ? 2_000 : 1_000;

describe("handlers of the log that fail", await requireNatsServer(), () => {
  it(`${MANY} messages that wait long for their next attempt hold up nobody`, { timeout: 1_200_000 }, async () => {
    const handles = [billing(5, [600_000, 600_000])];
    await using cluster = await LogCluster.open({ handles, nodes: ["d1", "b1"] });
    const deed = { how: "fail", times: 99 } as const;
    const failing = await cluster.publisher("d8", { count: MANY, keys: MANY, atOnce: 256, deed });
    await failing.end();
    await cluster.until("all to have failed", ({ sums }) => sums.runs >= MANY);
    const began = performance.now();
    const fresh = Array.from({ length: 200 }, (_, i) => `fresh-${i}`);
    await Promise.all(fresh.map((entry, i) => cluster.publish("Happened", { entry, key: `fresh-${i % 7}` })));
    await cluster.until("the fresh ones to be handled", (history) => fresh.every((it) => history.isHandled(SUB, it)));
    const took = performance.now() - began;
    console.log(`200 fresh ones beside ${MANY} that wait: handled after ${Math.round(took)} ms`);
    const [info] = await cluster.caller.subscriptions();
    assertEquals(info.dead, 0);
    // they wait through the death of their leader as well
    const leader = await cluster.leader("billing");
    await cluster.kill(leader);
    await cluster.publish("Happened", { entry: "after", key: "after" });
    await cluster.until("one more to be handled", (history) => history.isHandled(SUB, "after"));
    const after = (await cluster.caller.subscriptions()).find(({ name }) => name === "billing")!;
    // pauses have full jitter: a few were short, and these are tried again in memory
    assertGreater(after.retrying, 0.95 * MANY);
    assertEquals(after.dead, 0);
    assertEquals(await cluster.violations(), []);
    await cluster.stopAll();
  });

  it("later messages of a dead letter's key wait, and follow in order after a replay, and after a discard", {
    timeout: 1_200_000,
  }, async () => {
    // the death of a leader may cost other messages an attempt or two
    await using cluster = await LogCluster.open({ handles: [billing(4, [50, 100])], nodes: ["d1", "b1"] });
    for (const then of ["replay", "discard"] as const) {
      const entries = Array.from({ length: 6 }, (_, i) => `${then}-${i}`);
      const [first, ...behind] = entries;
      const deed = { how: "fail", times: 99, until: then } as const;
      await cluster.publish("Happened", { entry: first, key: then, deed });
      for (const entry of behind) await cluster.publish("Happened", { entry, key: then });
      await cluster.publish("Happened", { entry: `beside-${then}`, key: "beside" });
      const letter = await deadLetter(cluster, ({ heldBehind }) => heldBehind === behind.length);
      assertEquals([letter.attempts, letter.error.code, letter.key], [4, "TOLD_TO", then]);
      await cluster.until("another key to flow", (history) => history.isHandled(SUB, `beside-${then}`));
      // they wait through the death of their leader as well
      const leader = await cluster.leader("billing");
      await cluster.kill(leader);
      await cluster.start(leader);
      await cluster.publish("Happened", { entry: `late-${then}`, key: then });
      await deadLetter(cluster, ({ heldBehind }) => heldBehind === behind.length + 1);
      assert(behind.every((entry) => cluster.history.countOf(SUB, entry).runs === 0));
      if (then === "replay") {
        await cluster.openGate("replay");
        cluster.replayed(SUB, first);
        await letter.replay();
      } else {
        cluster.discarded(SUB, first);
        await letter.discard();
      }
      await cluster.settled();
      let left: string[] = [];
      await eventually("no dead letter", async () => {
        left = [];
        for await (const letter of cluster.caller.deadLetters()) left.push(JSON.stringify(letter));
        return left.length === 0;
      }).catch((error: Error) => {
        throw new Error(`${error.message}: ${left.join("\n")}\n${cluster.output}`);
      });
    }
    await cluster.finish();
  });

  it("have their attempts counted through the deaths of leaders", { timeout: 1_200_000 }, async () => {
    await using cluster = await LogCluster.open({ handles: [billing(8, [900, 1_500])], nodes: ["d1", "b1"] });
    const entries = Array.from({ length: 20 }, (_, i) => `fails-${i}`);
    await Promise.all(
      entries.map((entry) => cluster.publish("Happened", { entry, key: entry, deed: { how: "fail", times: 99 } })),
    );
    const runs = (history = cluster.history) =>
      entries.reduce((sum, entry) => sum + history.countOf(SUB, entry).runs, 0);
    for (const attempts of [3, 5]) {
      await cluster.until("some attempts", (history) => runs(history) >= attempts * entries.length);
      const leader = await cluster.leader("billing");
      await cluster.kill(leader);
      await cluster.start(leader);
    }
    const letters = new Map<string, DeadLetter>();
    await eventually("all to be dead letters", async () => {
      for await (const letter of cluster.caller.deadLetters()) {
        letters.set((letter.payload as { entry: string }).entry, letter);
      }
      return letters.size === entries.length;
    });
    await cluster.read();
    console.log(`${runs()} runs of ${entries.length} messages with 8 attempts, two leaders killed`);
    assertGreater(runs(), entries.length * 8 - 1);
    // each death may have forgotten one attempt of each, and another of those that had just failed
    assertLess(runs(), entries.length * 11 + 1);
    for (const [entry, letter] of letters) {
      cluster.discarded(SUB, entry);
      await letter.discard();
    }
    await cluster.finish();
  });
});

async function deadLetter(cluster: LogCluster, fits: (letter: DeadLetter) => boolean): Promise<DeadLetter> {
  const found = await eventually("the dead letter", async () => {
    for await (const letter of cluster.caller.deadLetters({ subscription: "billing" })) {
      if (fits(letter)) return letter;
    }
  });
  return found!;
}
