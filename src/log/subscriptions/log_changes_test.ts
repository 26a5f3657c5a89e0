import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { delay } from "../../ports/clock.ts";
import { requestSubject, subscriptionKey } from "../format/names.ts";
import { sequenceOf } from "../format/group_text.ts";
import { streamName } from "../format/stream_name.ts";
import { Cluster, events, inOrder, type NodeOptions, type Run } from "./cluster_suite.ts";

const BILLING = { billing: { Placed: {} } };

describe("Subscriptions, when the log changes", () => {
  it("begin now, or at the start; queued commands at the start", async () => {
    const cluster = new Cluster();
    await cluster.publish("Placed", [[0]]);
    await cluster.publish("Mail", [[1]]);
    await cluster.node("a", {
      handles: { now: { Placed: {} }, all: { Placed: { from: "start" } } },
      commands: ["Mail"],
    });
    await cluster.publish("Placed", [[2]]);
    await cluster.until("all handled", () => cluster.ends.length === 4);
    await cluster.clock.advance(3_000);
    assertEquals(cluster.payloads().sort(), [0, 1, 2, 2]);
    cluster.close();
  });

  it("lose no message of a category that a newer node adds while an older one leads", async () => {
    const cluster = new Cluster();
    await cluster.node("old", { handles: BILLING });
    await cluster.stream();
    const old = await cluster.leader("billing");
    let stop = false;
    let placed = 0;
    const traffic = async () => {
      while (!stop) {
        await cluster.publishNow("Placed", [[placed++, `k${placed % 5}`]]);
        await delay(cluster.clock, 3);
      }
    };
    const running = traffic();
    await cluster.until("some handled", () => cluster.ends.length > 50);
    const node = await cluster.node("new", { handles: { billing: { Placed: {}, Paid: {} } } });
    for (let i = 0; i < 100; i++) await cluster.publish("Paid", [[`paid ${i}`, "p"]]);
    await cluster.until("all handled", () => cluster.payloads("p").length === 100);
    assert(old.leads("billing"), "the old node leads still");
    assertEquals(new Set(cluster.runs.filter(({ key }) => key === "p").map((run) => run.node)), new Set([node.id]));
    stop = true;
    await cluster.clock.until(running);
    await cluster.until("the others, too", () => cluster.ends.length === placed + 100);
    assertEquals(cluster.payloads("p"), Array.from({ length: 100 }, (_, i) => `paid ${i}`));
    cluster.close();
  });

  it("name none as skipped that are published while they begin to read a new category", async () => {
    const cluster = new Cluster();
    await cluster.node("old", { handles: BILLING });
    await cluster.stream();
    await cluster.leader("billing");
    const kept = await cluster.kept();
    const requests = requestSubject("test", subscriptionKey("shop", "billing"), "*");
    const publishing = (async () => {
      while ((await kept.read(requests, { from: 1, most: 1 })).length === 0) await delay(cluster.clock, 1);
      for (let i = 0; i < 5; i++) await cluster.publishNow("Paid", [[`paid ${i}`, "p"]]);
    })();
    await cluster.node("new", { handles: { billing: { Placed: {}, Paid: {} } } });
    await cluster.clock.until(publishing);
    await cluster.until("all handled", () => cluster.payloads("p").length === 5);
    assertEquals(cluster.states("begun"), 0);
    cluster.close();
  });

  it("say the time of the first skipped message where a later one is handled (that of the last was said)", async () => {
    const cluster = new Cluster();
    await cluster.node("old", { handles: BILLING });
    await cluster.stream();
    await cluster.leader("billing");
    await cluster.publish("Paid", [["skipped", "p"]]);
    const skipped = new Date(cluster.clock.now()).toISOString().slice(0, -4);
    await cluster.clock.advance(60_000);
    const kept = await cluster.kept();
    const requests = requestSubject("test", subscriptionKey("shop", "billing"), "*");
    const publishing = (async () => {
      while ((await kept.read(requests, { from: 1, most: 1 })).length === 0) await delay(cluster.clock, 1);
      await cluster.publishNow("Paid", [["handled", "p"]]);
    })();
    await cluster.node("new", { handles: { billing: { Placed: {}, Paid: {} } } });
    await cluster.clock.until(publishing);
    await cluster.until("the later one", () => cluster.payloads("p").length === 1);
    await cluster.until("the report", () => cluster.states("begun") === 1);
    const [report] = cluster.seen.flatMap((seen) =>
      seen.type === "subscription" && seen.state === "begun" ? [`${seen.reason}`] : []
    );
    assertStringIncludes(report, `Paid, the first of ${skipped}`);
    cluster.close();
  });

  it("begin a category that a node adds which is alone, though the store answers later than the node ticks", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const cluster = new Cluster(seed, { delay: 300 });
      const old = await cluster.node("old", { handles: BILLING });
      await cluster.leader("billing");
      await cluster.clock.advance(1_000);
      await cluster.clock.until(old.subscriptions!.leave(500));
      old.kill();
      const begun = cluster.clock.monotonic();
      await cluster.node("new", { handles: { billing: { Placed: {}, Paid: {} } } });
      const took = cluster.clock.monotonic() - begun;
      assert(took < 10_000, `it started after ${took} ms, with seed ${seed}`);
      await cluster.publish("Paid", [[1]]);
      await cluster.until("it is handled", () => cluster.payloads().length === 1, 5_000);
      cluster.close();
    }
  });

  it("hold messages of a category that no live node handles, until one does", async () => {
    const cluster = await withHeld();
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("the others are handled", () => cluster.ends.length === 10);
    await cluster.clock.advance(5_000);
    assertEquals(cluster.states("waiting"), 1);
    assertEquals((await cluster.leader("billing")).state("billing")?.unhandled, { Paid: 1 });
    cluster.nodes.find(({ id }) => id === "old")!.kill();
    await cluster.node("newer", { handles: { billing: { Placed: {}, Paid: {} } } });
    await cluster.until("it is handled", () => cluster.payloads("p").length === 1);
    assertEquals((await cluster.leader("billing")).state("billing")?.unhandled, undefined);
    cluster.close();
  });

  const BOTH = { billing: { Placed: {}, Paid: {} } };
  /** Publishes messages of Paid, in hundreds, half of them with a key, and then 10 of Placed. */
  const publishUnhandled = async (cluster: Cluster, hundreds = 50) => {
    for (let n = 0; n < hundreds; n++) {
      await cluster.publish(
        "Paid",
        Array.from({ length: 100 }, (_, i) => n % 2 === 0 ? [100 * n + i, `k${i}`] as const : [100 * n + i] as const),
      );
    }
    await cluster.publish("Placed", events(10, 3));
  };
  /** Asserts that all messages of Paid were handled once each, at their first attempt, in the order of their key. */
  const assertPaidHandled = ({ ends }: Cluster) => {
    const paid = ends.filter(({ category }) => category === "Paid");
    assertEquals([paid.length, new Set(paid.map(({ id }) => id)).size], [5_001, 5_001]);
    assertEquals(paid.filter(({ attempt }) => attempt !== 1), []);
    const last = new Map<string, number>();
    for (const { key, position } of paid) {
      if (key === null) continue;
      assert(position > (last.get(key) ?? 0), `${key} in order`);
      last.set(key, position);
    }
  };
  const stateOfLeader = async (cluster: Cluster) => (await cluster.leader("billing")).state("billing")!;

  for (const change of ["stays", "hands over", "is killed"]) {
    it(`go on with others while thousands wait that no live node handles, and the leader ${change}`, async () => {
      const cluster = await withHeld();
      await publishUnhandled(cluster);
      await cluster.until("the others are handled", () => cluster.ends.length === 10);
      await cluster.until("all are read", async () => (await stateOfLeader(cluster)).unhandled?.Paid === 5_001);
      await cluster.clock.advance(1_000); // what was handled is committed
      const leader = await cluster.leader("billing");
      if (change !== "stays") {
        await cluster.node("next", { handles: BILLING });
        if (change === "hands over") await cluster.clock.until(leader.subscriptions!.leave());
        leader.kill();
        await cluster.until("the next one leads", async () => (await cluster.leader("billing")).id === "next");
        await cluster.until("it knows them", async () => (await stateOfLeader(cluster)).unhandled?.Paid === 5_001);
        await cluster.publish("Placed", events(10, 3));
        await cluster.until("it goes on with others", () => cluster.ends.length === 20);
      }
      assertEquals(cluster.states("stopped"), 0);
      const { state, dead, outage } = await stateOfLeader(cluster);
      assertEquals([state, dead, outage], ["leading", 0, undefined]);
      await cluster.node("newer", { handles: BOTH });
      await cluster.until("all are handled", () => cluster.ends.length >= 5_011 + (change === "stays" ? 0 : 10));
      await cluster.clock.advance(3_000);
      assertPaidHandled(cluster);
      const { open, retrying, unhandled } = await stateOfLeader(cluster);
      assertEquals([open, retrying, unhandled], [0, 0, undefined]);
      assertEquals((await cluster.state("billing"))!.parked.size, 0);
      cluster.close();
    });
  }

  it("handle what waited for a handler at the next one, after the node with the first handler was killed", async () => {
    const cluster = await withHeld();
    await publishUnhandled(cluster, 20);
    await cluster.until("all are read", async () => (await stateOfLeader(cluster)).unhandled?.Paid === 2_001);
    const slow = async () => {
      await delay(cluster.clock, 50);
      return 0 as const;
    };
    const newer = await cluster.node("newer", { handles: BOTH, run: slow });
    await cluster.until("some are handled", () => cluster.ends.length > 500);
    newer.kill();
    const leader = await cluster.leader("billing");
    await cluster.until("the others wait", () => (leader.state("billing")?.unhandled?.Paid ?? 0) > 500);
    leader.kill();
    await cluster.node("newest", { handles: BOTH });
    const handled = () => new Set(cluster.ends.filter(({ category }) => category === "Paid").map(({ id }) => id)).size;
    await cluster.until("all are handled", () => handled() === 2_001);
    // what ran when a node was killed may be handled again
    const ofKey = cluster.ends.filter(({ category, key }) => category === "Paid" && key === "k5");
    assertEquals(
      [...new Set(ofKey.map(({ payload }) => payload))],
      Array.from({ length: 10 }, (_, i) => 200 * i + 5),
    );
    await cluster.until("nothing waits", async () => (await cluster.state("billing"))!.parked.size === 0);
    cluster.close();
  });

  it("handle what waited for a handler while many others run all the time", async () => {
    const cluster = await withHeld();
    await publishUnhandled(cluster, 12);
    await cluster.until("all are read", async () => (await stateOfLeader(cluster)).unhandled?.Paid === 1_201);
    const slow = async ({ category }: Run) => {
      if (category === "Placed") await delay(cluster.clock, 1_000);
      return 0 as const;
    };
    const old = await cluster.leader("billing");
    for (const id of ["b", "c"]) await cluster.node(id, { handles: BILLING, run: slow });
    old.kill();
    let stop = false;
    const traffic = async () => {
      while (!stop) {
        await cluster.publishNow("Placed", Array.from({ length: 10 }, (_, i) => [i]));
        await delay(cluster.clock, 20);
      }
    };
    const running = traffic();
    await cluster.until("the next one leads", async () => (await cluster.leader("billing")) !== old);
    await cluster.clock.advance(3_000);
    await cluster.node("newer", { handles: BOTH, run: slow });
    const putAside = () => cluster.ends.filter(({ category, payload }) => category === "Paid" && Number(payload) < 100);
    await cluster.until("some that were put aside are handled", () => putAside().length > 20);
    stop = true;
    await cluster.clock.until(running);
    cluster.close();
  });

  it("pass by thousands that no live node handles, after a rewind to now", async () => {
    const cluster = await withHeld();
    await publishUnhandled(cluster);
    await cluster.until("all are read", async () => (await stateOfLeader(cluster)).unhandled?.Paid === 5_001);
    const last = await cluster.publish("Placed", [[0, "p"]]);
    await cluster.until("it is handled", () => cluster.ends.length === 11);
    await cluster.request("billing", { kind: "rewind", to: (last + 9) * 1_024 });
    await cluster.until("nothing waits", async () => (await stateOfLeader(cluster)).unhandled === undefined);
    await cluster.node("newer", { handles: BOTH });
    await cluster.publish("Paid", [["after", "p"]]);
    await cluster.until("what comes after is handled", () => cluster.ends.length === 12);
    await cluster.clock.advance(3_000);
    assertEquals(cluster.payloads("p"), [0, "after"]);
    assertEquals([cluster.ends.length, (await cluster.state("billing"))!.parked.size], [12, 0]);
    cluster.close();
  });

  it("are stopped, and say so, while so many that no live node handles wait that they may not be put aside", async () => {
    const cluster = await withHeld({ mostParked: 100 });
    for (let n = 0; n < 18; n++) await cluster.publish("Paid", Array.from({ length: 100 }, (_, i) => [100 * n + i]));
    await cluster.publish("Placed", events(10, 3));
    await cluster.clock.advance(5_000);
    const { state, open = 0, unhandled } = await stateOfLeader(cluster);
    assertEquals([state, unhandled, cluster.states("stopped")], ["stopped", { Paid: open + 400 }, 1]);
    assert(open >= 512, `${open} are open`);
    const said = cluster.seen.flatMap((each) => each.type === "subscription" ? each.reason ?? [] : []).join("\n");
    assertStringIncludes(said, `(${open + 400} of Paid)`);
    assertStringIncludes(said, "catga rewind");
    await cluster.node("newer", { handles: BOTH });
    await cluster.until("all are handled", () => cluster.ends.length === 1_811);
    await cluster.until("it goes on", async () => (await stateOfLeader(cluster)).state === "leading");
    cluster.close();
  });

  it("go on with others while thousands of one key wait that no live node handles", async () => {
    const cluster = await withHeld();
    for (let n = 0; n < 30; n++) await cluster.publish("Paid", events(100, 1, 100 * n));
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("the others are handled", () => cluster.ends.length === 10);
    await cluster.until("all are read", async () => (await stateOfLeader(cluster)).unhandled?.Paid === 3_001);
    await cluster.node("newer", { handles: BOTH });
    await cluster.until("all are handled", () => cluster.ends.length === 3_011);
    assertEquals([cluster.states("stopped"), (await stateOfLeader(cluster)).state], [0, "leading"]);
    const ofKey = cluster.ends.filter(({ category, key }) => category === "Paid" && key === "k0");
    inOrder(ofKey.map(({ payload }) => payload), Array.from({ length: 3_000 }, (_, i) => i));
    cluster.close();
  });

  it("go on with others while no live node handles a slow key that they have left behind", async () => {
    const cluster = await withHeld({ mostParked: 5_000 });
    const slow = await cluster.node("slow", { handles: BOTH, run: () => new Promise(() => {}), timeout: 600_000 });
    for (let n = 0; n < 60; n++) await cluster.publish("Paid", events(100, 1, 100 * n));
    await cluster.until("the key to be left behind", async () => (await stateOfLeader(cluster)).open < 20);
    slow.kill();
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("the others are handled", () => cluster.ends.length === 10);
    assertEquals((await stateOfLeader(cluster)).state, "leading");
    await cluster.node("newest", { handles: BOTH });
    await cluster.until("all are handled", () => cluster.ends.length === 6_011);
    const ofKey = cluster.ends.filter(({ category, key }) => category === "Paid" && key === "k0");
    inOrder(ofKey.map(({ payload }) => payload), Array.from({ length: 6_000 }, (_, i) => i));
    cluster.close();
  });

  it("pass by what no live node handles, after a rewind to where they are", async () => {
    const cluster = await withHeld();
    const last = await cluster.publish("Placed", [[0, "p"]]);
    await cluster.until("it is handled", () => cluster.ends.length === 1);
    await cluster.clock.advance(1_500);
    const leader = await cluster.leader("billing");
    assertEquals(leader.state("billing")?.open, 1);
    await cluster.request("billing", { kind: "rewind", to: (last + 9) * 1_024 });
    await cluster.until("nothing waits", () => leader.state("billing")?.open === 0);
    for (let i = 1; i < 4; i++) {
      await cluster.publish("Paid", [["paid", "p"]]);
      await cluster.publish("Placed", [[i, "p"]]);
    }
    await cluster.until("the others are handled", () => cluster.ends.length === 4);
    await cluster.clock.advance(1_500);
    assertEquals([cluster.payloads(), leader.state("billing")?.open], [[0, 1, 2, 3], 0]);
    cluster.close();
  });

  it("know of a node that starts while they take over: it handles what waited for one", async () => {
    const cluster = await withHeld();
    const leader = await cluster.leader("billing");
    let started: Promise<unknown> | undefined;
    cluster.intercept = (_, { name }) => {
      // the barrier (which asks what nodes run) is the first request of the next leader
      if (name.endsWith("/billing")) {
        started ??= cluster.node("late", { handles: { billing: { Placed: {}, Paid: {} } } }, false);
      }
      return undefined;
    };
    await cluster.node("next", { handles: BILLING });
    await cluster.clock.until(leader.subscriptions!.leave());
    leader.kill();
    await cluster.until("it is handled", () => cluster.payloads().includes("paid"), 10_000);
    await started;
    cluster.close();
  });

  it("keep what no live node handles for when one is there, though they go back meanwhile", async () => {
    const cluster = new Cluster();
    const both = { billing: { Placed: {}, Paid: {} } };
    await cluster.node("a", { handles: BILLING });
    const b = await cluster.node("b", { handles: both });
    await cluster.publish("Paid", [["before"]]);
    await cluster.until("it is handled", () => cluster.payloads().length === 1);
    b.kill();
    const leader = await cluster.leader("billing");
    await cluster.publish("Paid", [["waits"]]);
    await cluster.publish("Placed", [["placed"]]);
    await cluster.until("one is handled, the other waits", () => cluster.payloads().length === 2);
    assertEquals(leader.state("billing")?.open, 1);
    await cluster.request("billing", { kind: "rewind", to: 0 });
    await cluster.until("it is handled again", () => cluster.payloads().length === 3);
    await cluster.publish("Paid", [["after"]]);
    await cluster.clock.advance(3_000);
    assertEquals(leader.state("billing")?.open, 2, "what was handled is not read again");
    await cluster.node("c", { handles: both });
    await cluster.until("they are handled", () => cluster.payloads().length === 5, 10_000);
    assertEquals(cluster.payloads(), ["before", "placed", "placed", "waits", "after"]);
    cluster.close();
  });

  it("handle again what is behind the place of a rewind, and what was parked before it no less", async () => {
    const cluster = new Cluster();
    const handles = { billing: { Placed: { attempts: 1 } } };
    let broken = true;
    const run = ({ payload }: { payload: unknown }) => broken && payload === 3 ? ["BROKEN", "no", 0] as const : 0;
    for (const id of ["a", "b"]) await cluster.node(id, { handles, run });
    const sequences: number[] = [];
    for (let i = 0; i < 10; i++) sequences.push(await cluster.publish("Placed", [[i, `k${i}`]]));
    await cluster.until("all handled", () => cluster.ends.length === 9);
    await cluster.clock.advance(1_500);
    await cluster.request("billing", { kind: "rewind", to: sequences[4] * 1_024 + 1_023 });
    await cluster.until("again", () => cluster.ends.length === 14);
    await cluster.clock.advance(3_000);
    assertEquals(cluster.payloads().slice(9).sort(), [5, 6, 7, 8, 9]);
    assertEquals((await cluster.leader("billing")).state("billing")?.dead, 1);
    broken = false;
    await cluster.request("billing", { kind: "rewind", to: 0 });
    await cluster.until("all again", () => cluster.ends.length === 24);
    await cluster.clock.advance(3_000);
    assertEquals(cluster.ends.length, 24);
    assertEquals((await cluster.leader("billing")).state("billing")?.dead, 0);
    cluster.close();
  });

  it("wait only once for what ran before a rewind: who leads later joins what runs", async () => {
    const cluster = new Cluster();
    const replayed = Promise.withResolvers<0>();
    const run = ({ payload, attempt }: { payload: unknown; attempt: number }) =>
      payload !== 0 ? 0 : attempt === 1 && cluster.runs.length === 1 ? ["BROKEN", "no", 1] as const : replayed.promise;
    for (const id of ["a", "b", "c"]) await cluster.node(id, { handles: { billing: { Placed: {} } }, run });
    const sequence = await cluster.publish("Placed", [[0, "k0"]]);
    const first = await cluster.leader("billing");
    await cluster.until("one is dead", () => first.state("billing")?.dead === 1);
    await cluster.request("billing", { kind: "rewind", to: sequence * 1_024 + 1_023 });
    await cluster.until("it has gone back", () => cluster.states("rewound") === 1);
    for await (const letter of (await cluster.administration()).deadLetters({})) await letter.replay();
    await cluster.until("it runs", () => cluster.runs.length === 2);
    await cluster.clock.until(first.subscriptions!.leave());
    await cluster.publish("Placed", [[1, "k1"]]);
    await cluster.until("the next is handled", () => cluster.payloads().includes(1), 15_000);
    replayed.resolve(0);
    cluster.close();
  });

  it("carry out the smaller of two rewinds that were requested while a handler ran, whichever came first", async () => {
    for (const order of [[6, 0], [0, 6], [3, 0], [6, 3]]) {
      const cluster = new Cluster();
      const busy = { slow: false };
      const run = async ({ payload }: { payload: unknown }) => {
        if (busy.slow && payload === 9) await delay(cluster.clock, 2_500);
        return 0 as const;
      };
      for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING, run });
      const sequences: number[] = [];
      for (let i = 0; i < 9; i++) sequences.push(await cluster.publish("Placed", [[i, `k${i}`]]));
      await cluster.until("all handled", () => cluster.ends.length === 9);
      busy.slow = true;
      await cluster.publish("Placed", [[9, "k9"]]);
      await cluster.clock.advance(500);
      const administration = await cluster.administration();
      const place = (count: number) => count === 0 ? "start" : sequences[count - 1] * 1_024 + 1_023;
      for (const count of order) {
        await cluster.again(() => administration.rewind("shop", "billing", place(count)));
        await cluster.clock.advance(300);
      }
      busy.slow = false;
      const smaller = Math.min(...order);
      await cluster.until("again", () => new Set(cluster.payloads().slice(10)).size === 10 - smaller);
      await cluster.clock.advance(5_000);
      assertEquals(cluster.ends.length, 20 - smaller, "one rewind was enough");
      cluster.close();
    }
  });

  it("lose no rewind that is requested while the leader goes back, at whatever moment", async () => {
    for (let after = 0; after <= 300; after += 10) {
      const cluster = new Cluster();
      await cluster.node("a", {
        handles: { billing: { Placed: { attempts: 1 } } },
        run: ({ payload }) => payload === 2 ? ["NO", "no", 0] : 0,
      });
      const sequences: number[] = [];
      for (let i = 0; i < 5; i++) sequences.push(await cluster.publish("Placed", [[i, `k${i}`]]));
      await cluster.until("all handled", () => cluster.ends.length === 4);
      await cluster.clock.advance(1_500);
      const administration = await cluster.administration();
      await cluster.again(() => administration.rewind("shop", "billing", sequences[3] * 1_024 + 1_023));
      await cluster.clock.advance(after);
      await cluster.again(() => administration.rewind("shop", "billing", "start"));
      const again = cluster.ends.length;
      const missing = () => [0, 1, 3, 4].filter((payload) => !cluster.payloads().slice(again).includes(payload));
      for (let waited = 0; waited < 100 && missing().length > 0; waited++) await cluster.clock.advance(100);
      assertEquals(missing(), [], `requested ${after} ms after the first`);
      cluster.close();
    }
  });

  it("lose no rewind while the store is slow or out of reach", async () => {
    for (let seed = 0; seed < 60; seed++) {
      const cluster = new Cluster(seed, { delay: 300, cut: { every: 1_500, lasts: 1_000 } });
      const run = async ({ payload }: { payload: unknown }) => {
        if (payload === 5) await delay(cluster.clock, 500);
        return 0 as const;
      };
      await cluster.node("a", { handles: { billing: { Placed: { from: "start" } } }, run });
      for (let i = 0; i < 5; i++) await cluster.publish("Placed", [[i, `k${i}`]]);
      const handled = (from: number, count: number) => new Set(cluster.payloads().slice(from)).size === count;
      await cluster.until("all handled", () => handled(0, 5));
      await cluster.publish("Placed", [[5, "k5"]]);
      const administration = await cluster.administration();
      const before = cluster.ends.length;
      await cluster.again(() => administration.rewind("shop", "billing", "start"));
      await cluster.until(`again, with seed ${seed}`, () => handled(before, 6));
      cluster.close();
    }
  });

  it("carry out all that was requested while nobody led, however much it is", async () => {
    const cluster = new Cluster();
    const first = await cluster.node("a", { handles: BILLING, run: () => ["NO", "no", 1] });
    for (let i = 0; i < 26; i++) await cluster.publish("Placed", Array.from({ length: 100 }, (_, j) => [i * 100 + j]));
    await cluster.until("all are dead", () => first.state("billing")?.dead === 2_600);
    await cluster.clock.advance(2_000);
    first.kill();
    const letters = [...(await cluster.state("billing"))!.parked];
    for (const [id, { dead }] of letters) await cluster.request("billing", { kind: "discard", message: id, dead });
    await cluster.node("b", { handles: BILLING });
    await cluster.until("none is left", async () => (await cluster.state("billing"))!.parked.size === 0);
    cluster.close();
  });

  it("go on in a log that was made again, and say so", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING });
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("all handled", () => cluster.ends.length === 10);
    await cluster.clock.advance(2_000);
    cluster.network.log.remove(streamName("test", "log"));
    await cluster.reopen();
    for (let i = 0; i < 10; i++) {
      await cluster.publish("Placed", [[10 + i, "k"]]);
      await cluster.clock.advance(500);
    }
    await cluster.until("all handled", () => cluster.ends.length === 20);
    assert(cluster.count("log-lost") > 0);
    cluster.close();
  });

  it("go on in a log that has lost its last messages, and say so", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING });
    const sequences: number[] = [];
    for (let i = 0; i < 10; i++) sequences.push(await cluster.publish("Placed", [[i, "k"]]));
    await cluster.until("all handled", () => cluster.ends.length === 10);
    await cluster.clock.advance(2_000);
    cluster.network.log.truncate(streamName("test", "log"), sequences[4]);
    const leader = await cluster.leader("billing");
    leader.kill();
    for (let i = 0; i < 3; i++) await cluster.publish("Placed", [[10 + i, "k"]]);
    await cluster.until("all handled", () => cluster.ends.length === 13);
    assert(cluster.count("log-lost") > 0);
    assertEquals(cluster.payloads().slice(10), [10, 11, 12]);
    cluster.close();
  });

  for (const [how, count] of [["fewer", 3], ["more", 12]] as const) {
    it(`handle what comes after a loss of others' messages, ${how} than were lost`, async () => {
      const cluster = new Cluster();
      const first = await cluster.node("a", { handles: BILLING });
      const own = await cluster.publish("Placed", [[0]]);
      await cluster.until("it is handled", () => cluster.ends.length === 1);
      for (let i = 0; i < 9; i++) await cluster.publish("Seen", [[i]]);
      const { last } = (await cluster.clock.until((await cluster.stream()).state()))!;
      const place = async () => (await cluster.record("billing"))?.place;
      await cluster.until("they are passed", async () => sequenceOf((await place())?.read ?? 0) === last);
      assertEquals((await place())?.time, 0, "the time of the last message that was passed");
      await cluster.clock.advance(2_000);
      first.kill();
      cluster.network.log.truncate(streamName("test", "log"), own);
      for (let i = 1; i <= count; i++) await cluster.publish("Placed", [[i]]);
      await cluster.node("b", { handles: BILLING });
      await cluster.until("all are handled", () => new Set(cluster.payloads()).size === 1 + count);
      assert(cluster.count("log-lost") > 0);
      cluster.close();
    });
  }

  it("take no message that came after a loss for one that was open before it, at the same position", async () => {
    const cluster = new Cluster();
    const first = await cluster.node("a", { handles: BILLING, run: () => new Promise<never>(() => {}) });
    const kept = await cluster.publish("Placed", [["kept"]]);
    for (let i = 0; i < 3; i++) await cluster.publish("Placed", [[`lost ${i}`]]);
    await cluster.until("all run", () => cluster.runs.length === 4);
    await cluster.clock.advance(2_000);
    assertEquals((await cluster.record("billing"))?.open.length, 4);
    first.kill();
    cluster.network.log.truncate(streamName("test", "log"), kept);
    for (let i = 0; i < 5; i++) await cluster.publish("Placed", [[`new ${i}`]]);
    await cluster.node("b", { handles: BILLING });
    await cluster.until("all are handled", () => new Set(cluster.payloads()).size === 6);
    await cluster.clock.advance(5_000);
    // "kept" runs again: the position moves back behind the loss
    const handled = cluster.payloads().filter((payload) => payload !== "kept");
    assertEquals(handled.toSorted(), Array.from({ length: 5 }, (_, i) => `new ${i}`));
    cluster.close();
  });

  it("do not take schedules that are gone for a loss; messages of their own that are gone are one", async () => {
    const cluster = new Cluster();
    const first = await cluster.node("a", { handles: BILLING });
    await cluster.leader("billing");
    await cluster.clock.advance(1_500);
    const stream = await cluster.stream();
    const removed = async (subject: string) => {
      await cluster.clock.until(stream.append(subject, "[]", { timeout: 5_000 }));
      await cluster.clock.until(stream.purge(subject));
    };
    first.kill();
    for (let i = 0; i < 3; i++) await removed("catga.test.at.Placed.x");
    const second = await cluster.node("b", { handles: BILLING });
    await cluster.leader("billing");
    await cluster.publish("Placed", [[0]]);
    await cluster.until("it is handled", () => cluster.ends.length === 1);
    assertEquals(cluster.count("log-lost"), 0);
    await cluster.clock.advance(1_500);
    second.kill();
    // the purge counts as a loss, because the message at the subscription's place must exist for days
    await cluster.clock.until(stream.purge("catga.test.log.Placed"));
    await removed("catga.test.log.Placed");
    await cluster.node("c", { handles: BILLING });
    await cluster.publish("Placed", [[1]]);
    await cluster.until("it is handled", () => cluster.ends.length === 2);
    assertEquals(cluster.count("log-lost"), 1);
    cluster.close();
  });

  it("report a loss when it is long since nothing was behind their place", async () => {
    const cluster = new Cluster();
    const first = await cluster.node("a", { handles: BILLING });
    await cluster.leader("billing");
    await cluster.clock.advance(1_500);
    first.kill();
    const stream = await cluster.stream();
    await cluster.publish("Placed", [[0]]);
    await cluster.clock.advance(120_000);
    await cluster.clock.until(stream.purge("catga.test.log.Placed")); // the purge stands for the expiry of the message
    await cluster.node("b", { handles: BILLING });
    await cluster.publish("Placed", [[1]]);
    await cluster.until("it is handled", () => cluster.ends.length === 1);
    assertEquals(cluster.count("log-lost"), 1);
    cluster.close();
  });

  it("warn when the oldest message is near its end", async () => {
    const cluster = new Cluster();
    const gate = Promise.withResolvers<void>();
    await cluster.node("a", {
      handles: BILLING,
      timeout: 2 ** 31 - 3_000,
      run: () => gate.promise.then(() => 0 as const),
    });
    await cluster.publish("Placed", [[0]]);
    await cluster.clock.advance(4_000);
    assertEquals(cluster.count("near-expiry"), 0);
    cluster.skew = 6 * 86_400_000;
    await cluster.clock.advance(4_000);
    assertEquals(cluster.count("near-expiry"), 1);
    gate.resolve();
    await cluster.until("it is handled", () => cluster.ends.length === 1);
    cluster.close();
  });
});

/** Makes a cluster with a message of key `p` whose only node with a handler is dead, so that another node leads. */
async function withHeld(options: Pick<NodeOptions, "mostParked"> = {}): Promise<Cluster> {
  const cluster = new Cluster();
  const first = await cluster.node("new", { handles: { billing: { Placed: {}, Paid: {} } }, ...options });
  await cluster.node("old", { handles: BILLING, ...options });
  first.kill();
  await cluster.publish("Paid", [["paid", "p"]]);
  return cluster;
}
