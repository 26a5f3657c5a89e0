/** Fault: processes that handle the log are killed: by the test, or by the very message that they handle. */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { BEFORE_RELEASE, itBeforeRelease } from "../support/before_release.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";

const RETRY = { attempts: 3, delay: [50, 200] } as const;
const BILLING: LogHandler = { category: "Happened", name: "billing", retry: RETRY };
const SUB = "app/billing";

/** How many messages a publisher sends in a second, and how many more are stored before each kill. */
/** Messages of the tenant that has most. */
const MANY = BEFORE_RELEASE ? 4_000 : 1_600;
const [PACE, MORE] = BEFORE_RELEASE ? [200, 400] : [100, 200];

describe("the log, when processes are killed", await requireNatsServer(), () => {
  // docs/log.md, crash semantics, "handled at least once": crashed
  it(
    "a message whose worker dies after its effect runs again, and has one effect",
    { timeout: 1_200_000 },
    async () => {
      await using cluster = await LogCluster.open({ handles: [BILLING] });
      await Promise.all(["d1", "b1"].map((id) => cluster.keep(id)));
      const entries = Array.from({ length: 4 }, (_, i) => `dies-${i}`);
      for (const entry of entries) {
        await cluster.publish("Happened", { entry, key: entry, deed: { how: "die", when: "after" } });
        await cluster.until(`${entry} to be handled`, (history) => history.isHandled(SUB, entry));
      }
      for (const entry of entries) {
        const { runs, effects } = cluster.history.countOf(SUB, entry);
        assertGreater(runs, 1, entry);
        assertEquals(effects, 1, entry);
      }
      await cluster.finish();
    },
  );

  // docs/log.md, crash semantics, "order of a key": crashed
  // docs/log.md, crash semantics, "one leader for a subscription": crashed
  // with each change: log_crash_semantics_test.ts
  itBeforeRelease(
    "a leader that is killed with some of its keys in hand is followed in order, and little is repeated",
    {
      timeout: 1_200_000,
    },
    async () => {
      // Promise: none is overtaken; what had ended within the last 100 ms may be repeated, and what was in hand.
      await using cluster = await LogCluster.open({
        handles: [BILLING],
        nodes: ["d1", "b1"],
      });
      const publishers = await Promise.all(["d8", "b8"].map((id) => cluster.publisher(id, { pace: PACE, keys: 12 })));
      let before = { runs: 0, repeats: 0 };
      for (let round = 0; round < 3; round++) {
        await cluster.more(MORE);
        const key = `k${round}`;
        const entries = Array.from({ length: 14 }, (_, i) => `${key}-${i}`);
        await Promise.all(entries.map((entry, i) =>
          cluster.publish("Happened", {
            entry,
            key,
            deed: i < 5 ? { how: "gate", file: key } : { how: "slow", ms: 1 },
          })
        ));
        await cluster.until("the first to begin", (history) => history.countOf(SUB, entries[0]).runs > 0);
        const leader = await cluster.leader("billing");
        await cluster.kill(leader);
        await cluster.openGate(key);
        await cluster.until("the key to be handled", (history) => entries.every((it) => history.isHandled(SUB, it)));
        await cluster.start(leader);
        const { sums } = await cluster.read();
        const [runs, repeats] = [sums.runs - before.runs, sums.repeats - before.repeats];
        console.log(`round ${round}: ${leader} killed, ${repeats} of ${runs} runs repeated`);
        before = sums; // the history finds each repeat of what had ended long before
      }
      for (const publisher of publishers) publisher.kill("SIGTERM");
      for (const publisher of publishers) await publisher.end();
      await cluster.finish();
    },
  );

  // docs/log.md, fairness, "the leader crashes": fairness
  it("a tenant's ten are not behind another's thousands, also when the leader is killed meanwhile", {
    timeout: 1_200_000,
  }, async () => {
    const handles: readonly LogHandler[] = [{ ...BILLING, from: "start", fair: true, concurrency: 4 }];
    await using cluster = await LogCluster.open({ handles });
    const entries = (tenant: string, count: number) => Array.from({ length: count }, (_, i) => `${tenant}-${i}`);
    const publish = (tenant: string, count: number) =>
      Promise.all(
        entries(tenant, count).map((entry, i) =>
          cluster.publish("Happened", { entry, key: `${tenant}-${i % 200}`, deed: { how: "slow", ms: 20 } })
        ),
      );
    await publish("A", MANY);
    await publish("B", 10);
    await Promise.all(["d1", "b1"].map((id) => cluster.start(id)));
    for (const tenant of ["B", "C"]) {
      await cluster.until("some of A to run", ({ sums }) => sums.ok > 20);
      const leader = await cluster.leader("billing");
      await cluster.kill(leader);
      if (tenant === "C") await publish("C", 10);
      await cluster.until(
        `${tenant}'s to be handled`,
        (history) => entries(tenant, 10).every((entry) => history.isHandled(SUB, entry)),
      );
      const history = await cluster.read();
      assertGreater(entries("A", MANY).filter((entry) => history.countOf(SUB, entry).runs === 0).length, MANY / 4);
      await cluster.start(leader);
    }
    await cluster.finish();
  });

  it(
    "a message that kills each process becomes a dead letter, and other keys flow",
    { timeout: 1_200_000 },
    async () => {
      await using cluster = await LogCluster.open({ handles: [BILLING] });
      await Promise.all(["d1", "b1", "d2"].map((id) => cluster.keep(id)));
      const publisher = await cluster.publisher("b8", { pace: 50 });
      await cluster.until("some load", ({ sums }) => sums.ok > 50);
      await cluster.publish("Happened", {
        entry: "deadly",
        key: "x",
        deed: { how: "die", when: "before", always: true },
      });
      const letter = await deadLetter(cluster, "deadly");
      assertEquals(letter.attempts, RETRY.attempts);
      await assertFewRuns(cluster);
      publisher.kill("SIGTERM");
      await publisher.end();
      cluster.discarded(SUB, "deadly");
      await letter.discard();
      // one that was in hand in each process that it killed is a dead letter as well
      const ended = new Set(["deadly"]);
      await eventually("the others to be handled", async () => {
        for await (const other of cluster.caller.deadLetters({ subscription: "billing" })) {
          const { entry } = other.payload as { entry: string };
          // its leader may not have done yet what it was asked for
          if (ended.has(entry)) continue;
          ended.add(entry);
          console.log(`${entry} died with it`);
          cluster.replayed(SUB, entry);
          await other.replay();
        }
        return (await cluster.read()).missing(SUB).length === 0;
      });
      await cluster.finish();
    },
  );

  it("a message that kills the leader, and each successor, becomes a dead letter", { timeout: 1_200_000 }, async () => {
    await using cluster = await LogCluster.open({ handles: [BILLING] });
    await cluster.keep("b1");
    await cluster.publish("Happened", { entry: "before", key: "a" });
    await cluster.publish("Happened", {
      entry: "deadly",
      key: "x",
      deed: { how: "die", when: "before", always: true },
    });
    await cluster.publish("Happened", { entry: "behind", key: "x" });
    await cluster.publish("Happened", { entry: "beside", key: "y" });
    const letter = await deadLetter(cluster, "deadly");
    await assertFewRuns(cluster);
    await cluster.until("the other keys to be handled", (history) => history.isHandled(SUB, "beside"));
    assert(!cluster.history.isHandled(SUB, "behind"), "it did not wait behind the dead letter");
    cluster.discarded(SUB, "deadly");
    await letter.discard();
    await cluster.finish();
  });
});

/** docs/log.md: one or two more than its attempts; a few more where it ends its process slowly, as a busy machine does. */
async function assertFewRuns(cluster: LogCluster): Promise<void> {
  const { runs } = (await cluster.read()).countOf(SUB, "deadly");
  console.log(`${runs} runs until it was a dead letter`);
  assertLess(runs, RETRY.attempts + 6);
}

async function deadLetter(cluster: LogCluster, entry: string) {
  const found = await eventually(`${entry} to be a dead letter`, async () => {
    for await (const letter of cluster.caller.deadLetters({ subscription: "billing" })) {
      if ((letter.payload as { entry: string }).entry === entry) return letter;
    }
  });
  return found!;
}
