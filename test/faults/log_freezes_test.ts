/** Fault: processes that handle the log are frozen, and handlers that take long, or never end. */
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import process from "node:process";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { BEFORE_RELEASE, itBeforeRelease } from "../support/before_release.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";

const BILLING: LogHandler = { category: "Happened", name: "billing" };
/** How long a long handler takes, in ms: longer than a lease, and than any pause of the router. */
const LONG = 1_000 * Number(process.env.CATGA_FAULT_SECONDS ?? 8);
/** How many messages a publisher sends in a second, and how many more are stored behind each freeze. */
const [PACE, MORE] = BEFORE_RELEASE ? [150, 1_500] : [100, 300];

describe("the log, when processes are frozen", await requireNatsServer(), () => {
  // docs/log.md, crash semantics, "one run at a time": paused
  // docs/log.md, crash semantics, "order of a key": paused
  // docs/log.md, crash semantics, "one leader for a subscription": paused
  it("what a leader hands out that was frozen past its lease is refused: each key stays in order", {
    timeout: 1_200_000,
  }, async () => {
    await using cluster = await LogCluster.open({ handles: [BILLING], nodes: ["d1", "b1", "d2"] });
    const publishers = await Promise.all(["d8", "b8"].map((id) => cluster.publisher(id, { pace: PACE, keys: 12 })));
    const frozen: string[] = [];
    for (const long of [false, true]) {
      await cluster.more(MORE / 5);
      const leader = await cluster.leader("billing");
      frozen.push(leader);
      cluster.freeze(leader);
      await eventually("another leader", async () => await cluster.leader("billing") !== leader);
      // whoever takes over waits 10 s for the frozen node; then all goes on without it
      if (long) {
        const handled = (await cluster.read()).handled("app/billing").length;
        await cluster.until("others to go on", (history) => history.handled("app/billing").length > handled + MORE / 3);
      }
      cluster.thaw(leader);
      await cluster.more(MORE);
    }
    console.log(`frozen while they led: ${frozen}`);
    for (const publisher of publishers) publisher.kill("SIGTERM");
    for (const publisher of publishers) await publisher.end();
    await cluster.finish();
  });
});

describe("handlers of the log that take long", await requireNatsServer(), () => {
  it("run once, however long they take", { timeout: 1_200_000 }, async () => {
    const slow: LogHandler = { ...BILLING, timeout: LONG + 60_000 };
    await using cluster = await LogCluster.open({ handles: [slow], nodes: ["d1", "b1", "d2"] });
    const entries = Array.from({ length: 12 }, (_, i) => `slow-${i}`);
    for (const entry of entries) {
      await cluster.publish("Happened", { entry, key: entry, deed: { how: "slow", ms: LONG } });
      await cluster.publish("Happened", { entry: `behind-${entry}`, key: entry });
    }
    await cluster.settled(LONG + 40_000);
    assertEquals(entries.map((entry) => cluster.history.countOf("app/billing", entry).runs), entries.map(() => 1));
    await cluster.finish();
  });

  it("and time out are tried again, and become dead letters; those that never end hold up their key alone", {
    timeout: 1_200_000,
  }, async () => {
    const brief: LogHandler = { ...BILLING, timeout: 500, retry: { attempts: 2, delay: [50, 100] } };
    await using cluster = await LogCluster.open({ handles: [brief], nodes: ["d1", "b1"] });
    await cluster.publish("Happened", { entry: "hangs", key: "x", deed: { how: "hang" } });
    await cluster.publish("Happened", { entry: "behind", key: "x" });
    await cluster.publish("Happened", { entry: "stubborn", key: "y", deed: { how: "hang", stubborn: true } });
    const publisher = await cluster.publisher("b8", { count: 500, pace: 200 });
    await publisher.end();
    const letters = async () => {
      const found = new Map();
      for await (const letter of cluster.caller.deadLetters()) {
        found.set((letter.payload as { entry: string }).entry, letter);
      }
      return found;
    };
    const letter = await eventually("the dead letter", async () => (await letters()).get("hangs"));
    assertEquals([letter.attempts, letter.error.code], [2, "TIMEOUT"]);
    cluster.discarded("app/billing", "hangs");
    await letter.discard();
    await cluster.until(
      "all but the stubborn one to be handled",
      (history) => history.missing("app/billing").every((entry) => entry === "stubborn"),
    );
    assertEquals(await cluster.violations(), []);
  });

  it(
    "of one subscription do not hold up another; thousands at once are all handled",
    { timeout: 1_200_000 },
    async () => {
      const slow: LogHandler = { category: "Happened", name: "slow", concurrency: 4, timeout: 1_200_000 };
      const fast: LogHandler = { category: "Happened", name: "fast" };
      await using cluster = await LogCluster.open({ handles: [slow, fast], nodes: ["d1", "b1"] });
      const count = BEFORE_RELEASE ? 2_000 : 1_000;
      const publishers = await Promise.all(
        ["d8", "b8"].map((id) =>
          cluster.publisher(id, {
            count,
            keys: 200,
            atOnce: 512,
            deed: { how: "gate", file: "fast", in: ["app/slow"] },
            deedEvery: 200,
          })
        ),
      );
      for (const publisher of publishers) await publisher.end();
      await cluster.until("the fast one to handle all", (history) => history.missing("app/fast").length === 0);
      const behind = cluster.history.missing("app/slow").length;
      console.log(`the slow one is ${behind} behind when the fast one has handled all`);
      assertGreater(behind, 0);
      await cluster.openGate("fast");
      await cluster.finish();
    },
  );

  // with each change: consumers_test.ts, with 1,500
  itBeforeRelease("200 subscriptions of one service handle each message", { timeout: 1_200_000 }, async () => {
    const handles = Array.from({ length: 200 }, (_, i): LogHandler => ({ category: "Happened", name: `sub-${i}` }));
    await using cluster = await LogCluster.open({ handles, nodes: ["d1", "b1"] });
    for (let i = 0; i < 10; i++) await cluster.publish("Happened", { entry: `e-${i}`, key: `k-${i % 3}` });
    await cluster.settled();
    await cluster.kill("d1");
    for (let i = 10; i < 20; i++) await cluster.publish("Happened", { entry: `e-${i}`, key: `k-${i % 3}` });
    await cluster.finish();
  });
});
