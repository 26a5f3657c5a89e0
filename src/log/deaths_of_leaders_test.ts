/**
 * Tests of dead letters and parked messages when their leaders die, and when the log loses its last messages, with
 * whole apps in memory.
 */
import { assert, assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { describe, it } from "node:test";
import { fail } from "../../mod.ts";
import type { SubscriptionOptions } from "../contract/declaration/handler.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import { streamName } from "./format/stream_name.ts";
import { sequenceOf } from "./format/group_text.ts";
import { LogApps, type Order, Placed } from "../../test/support/log_apps.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";

const ONE = { retry: { attempts: 1 } } as const;
const TWO = { retry: { attempts: 2, delay: [10, 20] } } as const;
/**
 * Two messages of key `x`, of which the first fails and the second waits behind it; and one of key `y`, which is
 * handled meanwhile.
 */
const ORDERS: readonly Order[] = [{ n: 0, key: "x" }, { n: 1, key: "x" }, { n: 2, key: "y" }];
/** Ages of a dead letter at which its leader is killed, in ms: the letter's state may be stored in several steps. */
const AGES = [0, 2, 20, 60, 120];

/**
 * Starts three nodes, makes a dead letter, and kills its leader when the letter has this age. `mend()` lets the
 * handler succeed from then on.
 */
async function buried(age: number, settings: SubscriptionOptions = ONE): Promise<LogApps & { mend(): void }> {
  let mended = false;
  const apps = await LogApps.open(({ n }) => n === 0 && !mended ? fail("BROKEN", "no") : undefined);
  for (const id of ["a", "b", "c"]) await apps.start(id, settings);
  await apps.publish({ n: 9, key: "y" });
  await apps.until("the first to be handled", () => apps.handled(9));
  await apps.clock.advance(1_500);
  await apps.publish(...ORDERS);
  await apps.until("a dead letter", async () => (await apps.letters()).length === 1, 60_000, 1);
  await apps.clock.advance(age);
  apps.kill(await apps.leader());
  return Object.assign(apps, { mend: () => void (mended = true) });
}

describe("a dead letter whose leader dies", () => {
  for (const next of ["lives", "dies as the letter goes"] as const) {
    it(`is not handled again after it was discarded while nobody leads, and the next leader ${next}`, async () => {
      for (const age of AGES) {
        await using apps = await buried(age);
        apps.mend();
        const [letter] = await apps.letters();
        await apps.clock.until(letter.discard());
        if (next !== "lives") {
          await apps.until("the letter to go", async () => (await apps.letters()).length === 0);
          apps.kill(await apps.leader());
        }
        await apps.until("the one behind it to be handled", () => apps.handled(1));
        await apps.clock.advance(5_000);
        assertEquals({ age, runs: apps.count(0), letters: (await apps.letters()).length }, {
          age,
          runs: 1,
          letters: 0,
        });
      }
    });
  }

  it("is handled once it was replayed while nobody leads, also when the next leader dies as the letter goes", async () => {
    for (const age of AGES) {
      await using apps = await buried(age, TWO);
      apps.mend();
      const [letter] = await apps.letters();
      await apps.clock.until(letter.replay());
      await apps.until("the letter to go", async () => (await apps.letters()).length === 0);
      apps.kill(await apps.leader());
      await apps.clock.advance(8_000);
      const letters = (await apps.letters()).map(({ error }) => error.message);
      assertEquals({ age, letters, handled: [0, 1].map((n) => apps.handled(n)) }, {
        age,
        letters: [],
        handled: [true, true],
      });
    }
  });
});

describe("a replayed dead letter with one attempt", () => {
  it("is dead again when the node that runs nothing else is killed, and is handled once it is replayed again", async () => {
    let runs: "fail" | "go on" | "end" = "fail";
    await using apps = await LogApps.open(() =>
      runs === "fail" ? fail("BROKEN", "no") : runs === "end" ? undefined : new Promise(() => {})
    );
    for (const id of ["a", "b", "c"]) await apps.start(id, { ...ONE, timeout: 3_600_000 });
    await apps.publish(...Array.from({ length: 9 }, (_, n) => ({ n, key: `k${n}` })));
    await apps.until("dead letters", async () => (await apps.letters()).length === 9);
    const leader = await apps.leader();
    const { n } = apps.runs.find(({ node }) => node !== leader)!; // nine keys are not all those of one node
    const replay = async () => {
      const letter = (await apps.letters()).find(({ payload }) => (payload as Order).n === n)!; // it is dead
      await apps.clock.until(letter.replay());
      return letter;
    };
    runs = "go on";
    const { error: { code } } = await replay();
    await apps.until("its next run", () => apps.count(n) === 2);
    apps.kill(apps.runs.at(-1)!.node);
    await apps.until("nine dead letters again", async () => (await apps.letters()).length === 9);
    runs = "end";
    const { error, attempts } = await replay();
    await apps.until("it to be handled", async () => {
      const { dead, retrying } = await apps.info();
      return dead === 8 && retrying === 0;
    });
    assertEquals([code, error.code, attempts, apps.count(n)], ["BROKEN", "OUTCOME_UNKNOWN", 1, 3]);
  });
});

describe("a message in its last attempt at a node that lives, whose leader dies", () => {
  const parked = { retry: { attempts: 2, delay: [60_000, 60_000] }, timeout: 3_600_000 } as const;
  const replayed = { retry: { attempts: 1 }, timeout: 3_600_000 } as const;
  const count = 6;

  for (const ends of ["while nobody leads", "under the next leader"] as const) {
    for (
      const [what, settings, again] of [
        ["that was parked", parked, () => Promise.resolve()],
        ["that was replayed", replayed, async (apps) => {
          await apps.until("dead letters", async () => (await apps.letters()).length === count);
          // the present leader, which has taken over from a leader that died, is killed, too
          apps.kill(await apps.leader());
          await apps.leader();
          await apps.clock.advance(2_000);
          for (const letter of await apps.letters()) await apps.clock.until(letter.replay());
        }],
      ] as [string, SubscriptionOptions, (apps: LogApps) => Promise<void>][]
    ) {
      it(`is no dead letter when it ends ${ends}: one ${what}`, async () => {
        const gate = Promise.withResolvers<void>();
        let broken = true;
        await using apps = await LogApps.open(({ n }) =>
          n >= count ? undefined : broken ? fail("BROKEN", "no") : gate.promise
        );
        for (const id of ["a", "b", "c"]) await apps.start(id, settings);
        const keys = Array.from({ length: count }, (_, n) => ({ n, key: `k${n}` }));
        await apps.publish(...keys, ...keys.map(({ n, key }) => ({ n: n + count, key })));
        await apps.until("their first attempts", () => keys.every(({ n }) => apps.count(n) === 1));
        await apps.clock.advance(500);
        broken = false;
        await again(apps);
        await apps.until("their last attempts", () => keys.every(({ n }) => apps.count(n) === 2), 70_000, 1_000);
        await apps.clock.advance(1_000);
        const leader = await apps.leader();
        const elsewhere = keys.filter(({ n }) => apps.runs.findLast((run) => run.n === n)!.node !== leader);
        assertNotEquals(elsewhere, []);
        apps.kill(leader);
        if (ends === "while nobody leads") gate.resolve();
        await apps.leader();
        await apps.clock.advance(2_000);
        gate.resolve();
        await apps.clock.advance(10_000);
        const dead = (await apps.letters()).map(({ payload }) => payload as Order);
        assertEquals(elsewhere.filter(({ key }) => dead.some((letter) => letter.key === key)), []);
        // messages that ran elsewhere are handled, and so are the messages behind them
        assertEquals(elsewhere.filter(({ n }) => !apps.handled(n) || !apps.handled(n + count)), []);
      });
    }
  }
});

describe("messages that take all turns of nodes that live, whose leader dies", () => {
  it("run once, and the next leader begins at once (they ran again beside, 3 s later)", async () => {
    const gate = Promise.withResolvers<void>();
    await using apps = await LogApps.open(({ n }) => n === 0 || n > 20 ? undefined : gate.promise);
    for (const id of ["a", "b", "c"]) await apps.start(id, { timeout: 3_600_000 }, { concurrency: 2 });
    await apps.publish({ n: 0, key: "first" });
    await apps.until("the first to be handled", () => apps.handled(0));
    const orders = Array.from({ length: 20 }, (_, i) => ({ n: i + 1, key: `k${i}` }));
    await apps.publish(...orders);
    const leader = await apps.leader();
    const running = () => apps.runs.filter(({ n, node }) => n > 0 && node !== leader).map(({ n }) => n);
    await apps.until("all turns to be taken", () => running().length === 4);
    await apps.clock.advance(1_500);
    const elsewhere = running();
    apps.kill(leader);
    await apps.leader();
    const began = apps.clock.monotonic();
    // publish messages of other keys; the present leader sends some of them to nodes with free places
    const quick = Array.from({ length: 20 }, (_, i) => ({ n: i + 21, key: `q${i}` }));
    await apps.publish(...quick);
    await apps.until("some of those to be handled", () => quick.some(({ n }) => apps.handled(n)));
    assertLess(apps.clock.monotonic() - began, 3_000);
    await apps.clock.advance(20_000);
    gate.resolve();
    await apps.until("all to be handled", () => [...orders, ...quick].every(({ n }) => apps.handled(n)));
    assertEquals(elsewhere.filter((n) => apps.count(n) > 1), []);
  });
});

describe("a log that has lost its end", () => {
  for (const quietly of [false, true]) {
    it(`has each new message handled where a dead letter stood, ${quietly ? "quietly" : "with a reconnect"}`, async () => {
      let broken = true;
      await using apps = await LogApps.open(({ n }) => n < 2 && broken ? fail("BROKEN", "no") : undefined);
      for (const id of ["a", "b"]) await apps.start(id, ONE);
      await apps.publish({ n: 5, key: "z" });
      await apps.publish({ n: 0, key: "x" });
      await apps.publish({ n: 1, key: "y" });
      await apps.until("two dead letters", async () => (await apps.letters()).length === 2);
      await apps.clock.advance(1_500);
      const before = await apps.letters();
      // the log loses the message of the last dead letter, whose copy in the stream of subscriptions stays
      const last = sequenceOf(before[1].position);
      apps.cluster.network.log.truncate(streamName("default", "log"), last - 1, { quietly });
      await apps.clock.advance(10_000);
      // publish a message of another key, and a message of the dead letter's key
      await apps.publish({ n: 2, key: "z" });
      await apps.publish({ n: 3, key: "y" });
      await apps.clock.advance(10_000);
      const [{ sequence }] = apps.cluster.network.log.messages(streamName("default", "log"), last - 1);
      assertEquals(sequence, last);
      assertEquals([apps.handled(2), apps.handled(3)], [true, false]);
      assertEquals((await apps.letters()).map(({ payload }) => payload), before.map(({ payload }) => payload));
      broken = false;
      for (const letter of await apps.letters()) await apps.clock.until(letter.replay());
      await apps.until("all to be handled", () => [0, 1, 2, 3].every((n) => apps.handled(n)));
      assertEquals(await apps.letters(), []);
    });
  }
});

describe("two dead letters at one position", () => {
  for (const [first, ran] of [[true, 0], [false, 1]] as const) {
    it(`are two: the ${first ? "newer" : "older"} one is discarded, the other replayed, also by the next leader`, async () => {
      let broken = true;
      await using apps = await LogApps.open(() => broken ? fail("BROKEN", "no") : undefined);
      for (const id of ["a", "b"]) await apps.start(id, ONE);
      await apps.publish({ n: 0, key: "x" });
      await apps.until("a dead letter", async () => (await apps.letters()).length === 1);
      await apps.clock.advance(1_500);
      const [{ position }] = await apps.letters();
      apps.cluster.network.log.truncate(streamName("default", "log"), sequenceOf(position) - 1);
      await apps.clock.advance(10_000);
      await apps.publish({ n: 1, key: "y" });
      await apps.until("two dead letters", async () => (await apps.letters()).length === 2);
      await apps.clock.advance(1_500);
      const letters = (await apps.letters()).sort((a, b) => (a.payload as Order).n - (b.payload as Order).n);
      assertEquals(letters.map((letter) => letter.position), [position, position]);
      apps.kill(await apps.leader());
      broken = false;
      const [kept, gone] = first ? letters : letters.toReversed();
      await apps.clock.until(Promise.all([gone.discard(), kept.replay()]));
      await apps.until("none to be left", async () => (await apps.letters()).length === 0);
      await apps.clock.advance(10_000);
      assertEquals(apps.runs.slice(2).map(({ n }) => n), [ran]);
    });
  }
});

describe("a takeover", () => {
  it("comes 1.7 s after the last renewal of a leader whose process has ended (it came after 3 s)", async () => {
    for (const after of [0, 250, 500, 750]) {
      await using apps = await LogApps.open();
      for (const id of ["a", "b", "c"]) await apps.start(id);
      const leader = await apps.leader();
      await apps.clock.advance(10_000 + after);
      const killed = apps.clock.monotonic();
      apps.kill(leader);
      await apps.publish({ n: 0, key: "x" });
      await apps.until("the message to be handled", () => apps.handled(0), 5_000);
      const took = apps.clock.monotonic() - killed;
      assert(took <= 1_700 + 100 + 50, `${took} ms`);
    }
  });

  it("does not come while the leader stands still for 2 s, or has lost its connection for half a second", async () => {
    await using apps = await LogApps.open();
    for (const id of ["a", "b", "c"]) await apps.start(id);
    await apps.publish({ n: 0, key: "x" });
    await apps.clock.advance(40_000);
    const { network } = apps.cluster;
    const leader = await apps.leader();
    const before = apps.cluster.log.length;
    for (let round = 0; round < 8; round++) {
      network.pause(leader);
      await apps.clock.advance(2_000 + 25 * round);
      network.resume(leader);
      await apps.clock.advance(3_100);
      network.cut(leader);
      await apps.clock.advance(500);
      network.restore(leader);
      await apps.clock.advance(3_100);
    }
    const changes = apps.cluster.log.slice(before).filter((line) => line.includes("subscription"));
    assertEquals([await apps.leader(), changes], [leader, []]);
  });

  it("does not come for a leader that was cut off for 1 s, which hands out at once when it is back (100 to 200 ms later)", async () => {
    await using apps = await LogApps.open();
    for (const id of ["a", "b", "c"]) await apps.start(id);
    await apps.publish({ n: 0, key: "x" });
    await apps.clock.advance(40_000);
    const { network } = apps.cluster;
    const leader = await apps.leader();
    for (let n = 1; n <= 10; n++) {
      await apps.clock.advance(3_000 + 110 * n);
      network.cut(leader);
      await apps.publish({ n, key: "x" });
      await apps.clock.advance(1_000);
      network.restore(leader);
      const restored = apps.clock.monotonic();
      await apps.until("the message to be handled", () => apps.handled(n), 5_000, 1);
      assertLess(apps.clock.monotonic() - restored, 30);
    }
    assertEquals(await apps.leader(), leader);
  });

  it("doubles only what a leader began before it was cut off, which begins nothing until it is back (150 more)", async () => {
    const apps: LogApps = await LogApps.open((_, { clock }) => clock.sleep(50));
    await using _ = apps;
    for (const id of ["a", "b", "c"]) await apps.start(id);
    await apps.publish({ n: 0, key: "x" });
    await apps.clock.advance(10_000);
    const leader = await apps.leader();
    const numbers = Array.from({ length: 1_000 }, (_, n) => n + 1);
    await apps.publish(...numbers.map((n) => ({ n, key: `k${n % 20}` })));
    await apps.until("half to be handled", () => apps.runs.length > 500);
    apps.cluster.network.cut(leader);
    const begun = apps.runs.length;
    await apps.clock.advance(1_600);
    assertEquals(apps.runs.slice(begun).filter(({ node }) => node === leader).length, 0);
    await apps.clock.advance(1_000);
    apps.cluster.network.restore(leader);
    await apps.until("all to be handled", () => numbers.every((n) => apps.handled(n)));
    const doubled = numbers.filter((n) => apps.count(n) > 1).length;
    // 20 keys, at 20 a second each: what was begun since the last commit, 0.1 s before, and was on its way to it
    assertLess(doubled, 100);
  });

  it("goes on at once with what it has in hand when it is back", async () => {
    const apps: LogApps = await LogApps.open((_, { clock }) => clock.sleep(50));
    await using _ = apps;
    await apps.start("a");
    await apps.publish(...Array.from({ length: 600 }, (_, n) => ({ n, key: `k${n % 2}` })));
    for (let round = 0; round < 10; round++) {
      await apps.clock.advance(600 + 13 * round);
      apps.cluster.network.cut("a");
      await apps.clock.advance(300);
      const begun = apps.runs.length;
      apps.cluster.network.restore("a");
      const restored = apps.clock.monotonic();
      await apps.until("it to go on", () => apps.runs.length > begun, 5_000, 1);
      assertLess(apps.clock.monotonic() - restored, 30);
    }
  });

  it("waits no longer for a frozen node than for the dead leader", async () => {
    await using apps = await LogApps.open();
    for (const id of ["a", "b", "c"]) await apps.start(id);
    const leader = await apps.leader();
    await apps.publish(...Array.from({ length: 20 }, (_, n) => ({ n, key: `k${n}` })));
    await apps.until("all to be handled", () => Array.from({ length: 20 }, (_, n) => n).every((n) => apps.handled(n)));
    const frozen = ["a", "b", "c"].find((id) => id !== leader)!;
    apps.cluster.network.pause(frozen);
    apps.kill(leader);
    await apps.publish({ n: 20, key: "new" });
    try {
      // this takes 3 s until another node leads, and 3 s until the frozen node can certainly begin no message
      await apps.until("a new message to be handled", () => apps.handled(20), 8_000, 50);
    } finally {
      apps.cluster.network.resume(frozen);
    }
    await apps.clock.advance(10_000);
    assertEquals(apps.count(20), 1);
  });
});

describe("a leader that was cut off for so long that its process counted as gone", () => {
  it("keeps the lead when it has it again (others took it whenever no commit came for 300 ms)", async () => {
    await using apps = await LogApps.open();
    for (const id of ["a", "b", "c"]) await apps.start(id);
    await apps.publish({ n: 0, key: "x" });
    await apps.clock.advance(60_000);
    const leader = await apps.leader(); // `leader` is the node that should lead this subscription
    for (let who = leader, round = 0; round < 2; who = await apps.leader(), round++) {
      apps.cluster.network.cut(who);
      await apps.until("another leader", async () => await apps.leader() !== who);
      await apps.clock.advance(10_000);
      apps.cluster.network.restore(who);
      await apps.clock.advance(2_000);
    }
    assertEquals(await apps.leader(), leader);
    const before = apps.cluster.log.length;
    await apps.publish({ n: 1, key: "x" });
    await apps.clock.advance(20_000);
    assertEquals(apps.cluster.log.slice(before), []);
    assertEquals([await apps.leader(), apps.count(0), apps.count(1)], [leader, 1, 1]);
  });
});

describe("messages at a node whose process another one replaces under its id", () => {
  it("count no attempts: their leader knows which process they went to", async () => {
    await using cluster = new MemoryCluster();
    const runs: string[] = [];
    let stuck = true;
    const publisher = await cluster.start("publisher", { service: "web" });
    await startService("a"); // `a` is the first node, and therefore leads
    await cluster.clock.advance(2_000);
    await startService("b");
    for (let n = 0; n < 8; n++) await cluster.clock.until(publisher.publish(Placed, { n, key: `k${n}` }));
    await cluster.clock.advance(50);
    const atB = runs.filter((run) => run.startsWith("b "));
    stuck = false;
    cluster.kill("b");
    await startService("b");
    await cluster.clock.advance(5_000);
    assertNotEquals(atB, []);
    assertEquals(runs.slice(8).sort(), atB.sort());

    async function startService(id: string): Promise<Catga> {
      const handlers = Placed.on(async ({ n }, { attempt }) => {
        runs.push(`${id} ran ${n}, attempt ${attempt}`);
        if (stuck) await new Promise<never>(() => {});
      }, { name: "billing" });
      return await cluster.start(id, { service: "shop", handlers });
    }
  });
});
