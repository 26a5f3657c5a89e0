import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { delay, systemClock } from "../../ports/clock.ts";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { type Commit, writeCommit } from "../format/commit.ts";
import { commitSubject, subscriptionKey } from "../format/names.ts";
import { Cluster, events, inOrder, ofKey } from "./cluster_suite.ts";
import { storedMessages } from "./found_state.ts";

const BILLING = { billing: { Placed: {} } };

describe("Subscriptions, when leaders change", () => {
  it("handle every message at least once, each key in order, through the deaths of three leaders", async () => {
    const cluster = new Cluster();
    const slow = { handles: BILLING, run: () => delay(cluster.clock, 7).then(() => 0 as const) };
    for (const id of ["a", "b", "c", "d"]) await cluster.node(id, slow);
    for (let death = 0; death < 4; death++) {
      for (let i = 0; i < 10; i++) await cluster.publish("Placed", events(50, 7, 500 * death + 50 * i));
      await cluster.until("some handled", () => cluster.ends.length > 500 * death + 100);
      if (death < 3) (await cluster.leader("billing")).kill();
    }
    await cluster.until("all handled", () => new Set(cluster.payloads()).size === 2_000);
    for (let key = 0; key < 7; key++) inOrder(cluster.payloads(`k${key}`), ofKey(2_000, 7, key));
    cluster.close();
  });

  // docs/log.md, crash semantics, "one run at a time": crashed
  it("never run two messages of a key at once, also when a leader dies while one runs", async () => {
    const cluster = new Cluster();
    let atOnce = 0;
    let most = 0;
    const run = async () => {
      most = Math.max(most, ++atOnce);
      await delay(cluster.clock, 20_000);
      atOnce--;
      return 0 as const;
    };
    for (const id of ["a", "b", "c"]) await cluster.node(id, { handles: BILLING, run });
    await cluster.publish("Placed", events(3, 1));
    await cluster.until("one runs", () => cluster.runs.length === 1);
    const leader = await cluster.leader("billing");
    // the node that runs the message must not be the leader that dies
    if (leader.id === cluster.runs[0].node) {
      const other = cluster.nodes.find((node) => node !== leader)!;
      await cluster.take("billing", other.id);
    } else leader.kill();
    await cluster.until("all handled", () => cluster.ends.length === 3);
    assertEquals(cluster.payloads(), [0, 1, 2]);
    assertEquals(most, 1);
    cluster.close();
  });

  it("run nothing again that had ended, also when thousands were open", async () => {
    const cluster = new Cluster();
    let slow = true;
    const run = async ({ payload }: { payload: unknown }) => {
      if (slow && Number(payload) < 2_000) await delay(cluster.clock, 60_000);
      return 0 as const;
    };
    for (const id of ["a", "b", "c"]) await cluster.node(id, { handles: BILLING, run, timeout: 600_000 });
    for (let i = 0; i < 50; i++) await cluster.publish("Placed", events(50, 2_500, 50 * i));
    await cluster.until("the quick ones are handled", () => cluster.ends.length === 500);
    await cluster.clock.advance(1_500);
    slow = false;
    (await cluster.leader("billing")).kill();
    await cluster.until("all handled", () => new Set(cluster.payloads()).size === 2_500);
    const quick = cluster.runs.filter(({ payload }) => Number(payload) >= 2_000);
    assertEquals(quick.length, 500);
    cluster.close();
  });

  it("hand the lead over at once when a node leaves, with what is open", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b"]) {
      await cluster.node(id, { handles: BILLING, run: () => delay(cluster.clock, 500).then(() => 0 as const) });
    }
    await cluster.publish("Placed", events(20, 20));
    await cluster.until("some run", () => cluster.runs.length > 0);
    const leader = await cluster.leader("billing");
    const began = cluster.clock.monotonic();
    await cluster.clock.until(leader.subscriptions!.leave());
    await cluster.until("another leads", () => cluster.nodes.some((node) => node !== leader && node.leads("billing")));
    assert(cluster.clock.monotonic() - began < 2_000);
    await cluster.until("all handled", () => cluster.ends.length === 20);
    await cluster.clock.advance(2_000);
    assertEquals(cluster.ends.length, 20); // 20 messages had 20 runs: none ran twice
    cluster.close();
  });

  it("deposed leaders hand out nothing more, and what they handed out late is refused", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING });
    const old = await cluster.leader("billing");
    await cluster.take("billing", old.id === "a" ? "b" : "a");
    await cluster.until("it knows", () => !old.leads("billing"));
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("all handled", () => cluster.ends.length === 10);
    await cluster.until("the other leads", () => cluster.nodes.some((node) => node !== old && node.leads("billing")));
    const tokens = new Set(cluster.runs.map(({ token }) => token));
    assertEquals(tokens.size, 1);
    cluster.close();
  });

  it("notice a commit of another that is stored before the acknowledgement of their own comes (nobody led then)", async () => {
    const cluster = new Cluster();
    await cluster.node("a", { handles: BILLING });
    await cluster.leader("billing");
    await cluster.clock.advance(5_000);
    const [stored, told] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    cluster.mayAcknowledge = (subject) => {
      if (!subject.includes(".sub.rec.")) return undefined;
      stored.resolve();
      return told.promise;
    };
    await cluster.publish("Placed", events(1, 1));
    await cluster.clock.until(stored.promise);
    await cluster.change("billing", (head) => ({ ...head, leader: "" }));
    await cluster.clock.advance(1_000);
    cluster.mayAcknowledge = () => undefined;
    told.resolve();
    await cluster.until("it leads again", async () => (await cluster.record("billing"))?.leader !== "", 10_000);
    cluster.close();
  });

  it("make a dead letter of a message that kills its leader's process each time, and of no other", async () => {
    const cluster = new Cluster();
    const handles = { billing: { Placed: { attempts: 3, delay: [1, 1] as const } } };
    const deaths: number[] = [];
    for (let count = 0; cluster.count("dead-letter") === 0; count++) {
      const node = await cluster.node(`n${count}`, {
        handles,
        run: (run) => {
          if (run.payload !== 13) return 0;
          deaths.push(run.attempt);
          node.kill();
          return new Promise<never>(() => {});
        },
      });
      if (count === 0) { for (let i = 0; i < 4; i++) await cluster.publish("Placed", events(10, 40, 10 * i)); }
      await cluster.until("it ends", () => !node.alive || cluster.count("dead-letter") > 0);
    }
    await cluster.until("the others are handled", () => new Set(cluster.payloads()).size === 39);
    await cluster.clock.advance(2_000);
    assertEquals(cluster.count("dead-letter"), 1);
    assert(!cluster.payloads().includes(13));
    // three attempts, and one more whose outcome was lost together with its leader
    assert(deaths.length <= 4, `it died ${deaths.length} times`);
    cluster.close();
  });

  it("make a dead letter of a message that kills its leader's process each time, also while others are handled", async () => {
    const cluster = new Cluster();
    const handles = { billing: { Placed: { attempts: 3, delay: [1, 1] as const } } };
    let deaths = 0;
    let count = 0;
    for (let round = 0; cluster.count("dead-letter") === 0; round++) {
      const node = await cluster.node(`n${round}`, {
        handles,
        run: async ({ payload }) => {
          if (payload !== "deadly") return 0 as const;
          await delay(cluster.clock, 300); // meanwhile other messages are handled, and the position moves
          deaths++;
          node.kill();
          return await new Promise<never>(() => {});
        },
      });
      if (round === 0) await cluster.publish("Placed", [["deadly"]]);
      for (let i = 0; i < 200 && node.alive && cluster.count("dead-letter") === 0; i++) {
        await cluster.publish("Placed", events(5, 5, 5 * count++));
        await cluster.clock.advance(20);
      }
    }
    assert(deaths <= 4, `it died ${deaths} times`);
    await cluster.until("the others are handled", () => new Set(cluster.payloads()).size === 5 * count);
    assertEquals(cluster.count("dead-letter"), 1);
    cluster.close();
  });

  it("count the attempts that had failed before their leader died", async () => {
    const cluster = new Cluster();
    const handles = { billing: { Placed: { attempts: 4, delay: [2_000, 2_000] as const } } };
    for (let round = 0; cluster.count("dead-letter") === 0; round++) {
      const node = await cluster.node(`n${round}`, { handles, run: () => ["BROKEN", "no", 0] });
      if (round === 0) await cluster.publish("Placed", [[0]]);
      const before = cluster.runs.length;
      await cluster.until(
        "it has failed again",
        () => cluster.runs.length > before || cluster.count("dead-letter") > 0,
      );
      // 300 ms are enough to record the failure; the message then waits for its next attempt
      await cluster.clock.advance(300);
      if (cluster.count("dead-letter") === 0) node.kill();
    }
    assertEquals(cluster.runs.map(({ attempt }) => attempt), [1, 2, 3, 4]);
    cluster.close();
  });

  it("do not count an attempt whose leader dies with it, once: it is no dead letter with a single attempt", async () => {
    const cluster = new Cluster();
    const handles = { billing: { Placed: { attempts: 1 } } };
    const run = async () => {
      await delay(cluster.clock, 1_000);
      return 0 as const;
    };
    const first = await cluster.node("n", { handles, run });
    await cluster.publish("Placed", events(20, 20));
    await cluster.until("they run", () => cluster.runs.length === 20);
    await cluster.clock.advance(500);
    first.kill();
    await cluster.node("m", { handles, run });
    await cluster.until("all handled", () => new Set(cluster.payloads()).size === 20);
    assertEquals(cluster.count("dead-letter"), 0);
    cluster.close();
  });

  it("go on at their pace when leaders die one after the other while handlers are slow", async () => {
    const cluster = new Cluster();
    const run = () => delay(cluster.clock, 4_000).then(() => 0 as const);
    for (let i = 0; i < 4; i++) await cluster.publish("Placed", events(200, 800, 200 * i));
    const handles = { billing: { Placed: { from: "start", attempts: 20 } as const } };
    for (let round = 0; round < 4; round++) {
      const node = await cluster.node(`n${round}`, { handles, run });
      await cluster.until("it leads", () => node.leads("billing"));
      const before = cluster.runs.length;
      // each leader dies before any message that it runs has ended
      await cluster.until("many run at once", () => cluster.runs.length >= before + 200, 8_000);
      await cluster.clock.advance(200);
      node.kill();
    }
    const last = await cluster.node("last", { handles, run });
    await cluster.until("all handled", () => new Set(cluster.payloads()).size === 800, 60_000);
    await cluster.until("the position has moved", () => last.state("billing")?.open === 0);
    assertEquals(cluster.count("dead-letter"), 0);
    cluster.close();
  });

  it("keep their record small with a full window", async () => {
    const cluster = new Cluster();
    const gate = Promise.withResolvers<0>();
    const nodes = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (const id of nodes) await cluster.node(id, { handles: BILLING, timeout: 600_000, run: () => gate.promise });
    for (let i = 0; i < 900; i++) await cluster.publish("Placed", events(10, 20_000, 10 * i));
    await cluster.until(
      "the window is full",
      () => cluster.nodes.some((node) => (node.state("billing")?.open ?? 0) > 8_000),
    );
    await cluster.clock.advance(2_000);
    const commit = (await cluster.commits("billing")).at(-1);
    assert(typeof commit === "object" && commit.head.open.length > 8_000);
    const { length } = writeCommit(commit);
    assert(length <= 33_000, `it has ${length} bytes`);
    gate.resolve(0);
    cluster.close();
  });

  it("spread over the nodes", async () => {
    const cluster = new Cluster();
    const handles = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`s${i}`, { Placed: {} }]));
    await Promise.all(["a", "b", "c", "d"].map((id) => cluster.node(id, { handles }, false)));
    await cluster.until("all are led", () => cluster.nodes.reduce((sum, node) => sum + node.led, 0) === 200);
    for (const node of cluster.nodes) assert(node.led > 20, `${node.id} leads ${node.led}`);
    await cluster.publish("Placed", events(5, 5));
    await cluster.until("each has handled each", () => cluster.ends.length === 1_000);
    cluster.close();
  });

  it("take over past a node that is frozen, after 10 s at most", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b", "c"]) await cluster.node(id, { handles: BILLING, timeout: 2_000 });
    const leader = await cluster.leader("billing");
    cluster.nodes.find((node) => node !== leader)!.frozen = true;
    leader.kill();
    await cluster.publish("Placed", events(20, 20));
    await cluster.until("all handled", () => cluster.ends.length === 20, 60_000);
    cluster.close();
  });

  it("move to nodes that start later, without a message handled twice", async () => {
    const cluster = new Cluster();
    const handles = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`s${i}`, { Placed: {} }]));
    const first = await cluster.node("a", { handles });
    await cluster.until("all are led", () => first.led === 40);
    for (const id of ["b", "c"]) await cluster.node(id, { handles });
    for (let i = 0; i < 50; i++) {
      await cluster.publish("Placed", events(1, 5, i));
      await cluster.clock.advance(1_000);
    }
    await cluster.until("all handled", () => cluster.ends.length >= 2_000);
    assertEquals(cluster.ends.length, 2_000);
    for (const node of cluster.nodes) assert(node.led > 5, `${node.id} leads ${node.led}`);
    cluster.close();
  });

  it("survive records full of garbage: nothing is passed over", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING });
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("all handled", () => cluster.ends.length === 10);
    const kept = await cluster.kept();
    const subject = commitSubject("test", subscriptionKey("shop", "billing"));
    await cluster.clock.until(kept.append(subject, "\u0000{", { timeout: 1_000 }));
    await cluster.publish("Placed", events(10, 3, 10));
    await cluster.until("all handled again by the leader that there was", () => cluster.ends.length === 20);
    for (const node of cluster.nodes) if (node.leads("billing")) node.kill();
    await cluster.clock.until(kept.append(subject, '{"leader":7}', { timeout: 1_000 }));
    await cluster.publish("Placed", events(10, 3, 20));
    await cluster.until("all handled", () => cluster.payloads().includes(29));
    assertEquals(new Set(cluster.payloads()).size, 30);
    cluster.close();
  });

  it("go on from the last leader's state, whatever it has written behind one that does not count", async () => {
    const cluster = new Cluster();
    const node = await cluster.node("a", { handles: BILLING });
    await cluster.until("it is led", () => node.leads("billing"));
    await cluster.clock.advance(1_000);
    const old = (await cluster.commits("billing")).at(-1) as Commit;
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("all handled", () => cluster.ends.length === 10);
    await cluster.clock.advance(1_000);
    const subject = commitSubject("test", subscriptionKey("shop", "billing"));
    const text = writeCommit({ ...old, id: ["frozen", 2], prev: ["frozen", 1], full: true });
    await cluster.clock.until((await cluster.kept()).append(subject, text, { timeout: 1_000 }));
    await cluster.clock.advance(1_000);
    assert(node.leads("billing"));
    node.kill();
    await cluster.node("b", { handles: BILLING });
    await cluster.publish("Placed", events(1, 3, 10));
    await cluster.until("the next is handled", () => cluster.payloads().includes(10));
    assertEquals(cluster.payloads(), Array.from({ length: 11 }, (_, i) => i));
    cluster.close();
  });

  it("have a greater token than the last commit, also if that does not count", async () => {
    const cluster = new Cluster();
    const node = await cluster.node("a", { handles: BILLING });
    await cluster.until("it is led", () => node.leads("billing"));
    await cluster.clock.advance(1_000);
    node.kill();
    const commit = (await cluster.commits("billing")).at(-1) as Commit;
    const token = commit.head.token + 10_000;
    const head = { ...commit.head, leader: "", token };
    const text = writeCommit({ ...commit, id: ["other", 2], prev: ["lost", 1], head });
    const subject = commitSubject("test", subscriptionKey("shop", "billing"));
    await cluster.clock.until((await cluster.kept()).append(subject, text, { timeout: 1_000 }));
    await cluster.node("b", { handles: BILLING });
    await cluster.until("it is led", async () => (await cluster.record("billing"))?.leader === "b.1");
    assertLess(token, (await cluster.record("billing"))!.token);
    cluster.close();
  });

  it("make a record again of which only changes are left: all is handled again, and it is there meanwhile", async () => {
    const cluster = new Cluster(1, { delay: 200 });
    await cluster.node("a", { handles: BILLING });
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("all handled", () => cluster.ends.length === 10);
    await cluster.clock.advance(1_000);
    for (const node of cluster.nodes) node.kill();
    const commit = (await cluster.commits("billing")).at(-1);
    assert(typeof commit === "object");
    const kept = await cluster.kept();
    const subject = commitSubject("test", subscriptionKey("shop", "billing"));
    const text = writeCommit({ ...commit, id: ["other", 1], prev: commit.id, full: false });
    const appended = await cluster.clock.until(kept.append(subject, text, { timeout: 1_000 }));
    assert(appended.type === "stored");
    await cluster.clock.until(kept.purge(subject, { before: appended.sequence }));
    await cluster.node("b", { handles: BILLING });
    await cluster.until("all handled again", async () => {
      assert((await cluster.commits("billing")).length > 0);
      return cluster.ends.length === 20;
    });
    assertEquals((await cluster.record("billing"))?.leader, "b.1");
    cluster.close();
  });

  it("make a record again that was deleted", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING });
    await cluster.publish("Placed", events(10, 3));
    await cluster.until("all handled", () => cluster.ends.length === 10);
    const subject = commitSubject("test", subscriptionKey("shop", "billing"));
    await cluster.clock.until((await cluster.kept()).purge(subject));
    await cluster.clock.advance(3_000);
    await cluster.publish("Placed", events(10, 3, 10));
    await cluster.until("all handled", () => cluster.ends.length === 20);
    assertEquals(typeof await cluster.record("billing"), "object");
    cluster.close();
  });
});

describe("storedMessages", () => {
  it("reads messages that are far from each other at once (60 reads one after the other took 18 s over a slow link)", async () => {
    const sequences = Array.from({ length: 60 }, (_, n) => 1 + n * 100);
    let [running, most]: [number, number] = [0, 0];
    const messageAt = (sequence: number): StoredMessage => ({
      ...{ sequence, subject: "s", time: 0, data: new Uint8Array(), headers: undefined },
    });
    const stream: Pick<LogStream, "at" | "read"> = {
      at: (sequence) => Promise.resolve(sequence === 5_901 ? messageAt(sequence) : undefined),
      async read(_, options) {
        const from = "from" in options ? options.from : 0;
        most = Math.max(most, ++running);
        for (let n = 0; n < 20; n++) await Promise.resolve();
        running--;
        return from === 5_901 ? [] : [messageAt(from)]; // the server that answers lags behind by one message
      },
    };
    const found = await storedMessages(
      { stream, clock: systemClock, signal: new AbortController().signal, fault() {} },
      "s",
      sequences,
    );
    assertEquals(found.map(({ sequence }) => sequence), sequences);
    assertEquals(most, 16);
  });
});
