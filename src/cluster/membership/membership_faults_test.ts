/**
 * Tests of the membership when the store is away, processes freeze or are cut off, and clocks jump; on virtual time.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { command } from "../../contract/declaration/definition.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { Clock } from "../../ports/clock.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { BUCKET, follow, MemoryCluster as Cluster, Who } from "../../../test/support/memory_cluster.ts";
import { StoreOutage } from "../../../test/support/store_outage.ts";
import { LONGEST } from "./own_record.ts";

const HEARTBEAT = 9_000;

describe("a store that is away", () => {
  it("for a minute: no node leaves, watchers see no change, and new nodes join when it is back", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster, outage, events } = stage;
    outage.begin();
    await cluster.clock.advance(60_000);
    outage.end(); // every watch then reports that all records have expired
    await cluster.clock.advance(10_000);
    assertEquals([cluster.views(), stage.moves()], [["a b c", "a b c", "a b c"], []]);
    for (const id of ["a", "b", "c"]) assert(await cluster.record(id) !== undefined);
    assert(events.length > 0, "the records were written again");
    await cluster.start("d", { heartbeat: HEARTBEAT });
    assertEquals(new Set(cluster.views()), new Set(["a b c d"]));
  });

  it("records are written again within about a second after it is back, not at the next heartbeat", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster, outage } = stage;
    outage.begin();
    await cluster.clock.advance(60_000);
    outage.end();
    await cluster.clock.advance(1_100);
    for (const id of ["a", "b", "c"]) assert(await cluster.record(id) !== undefined);
  });

  it("a record that could not be written is written when the store is back, long before the next heartbeat", async () => {
    await using cluster = new Cluster();
    const outage = new StoreOutage(cluster.network);
    await cluster.start("a", { heartbeat: 600_000 });
    outage.begin();
    while (!cluster.log.some((line) => line.includes("refreshing this node's record"))) {
      await cluster.clock.advance(500);
    }
    outage.end();
    const back = cluster.clock.now();
    await cluster.clock.advance(1_100);
    const { lastSeen } = JSON.parse((await cluster.record("a"))!) as { lastSeen: number };
    assert(lastSeen >= back, `written ${back - lastSeen} ms before the store was back`);
  });

  it("for 14 s, as in a long election: a node that joins meanwhile starts when it is back", async () => {
    await using cluster = new Cluster();
    const outage = new StoreOutage(cluster.network);
    outage.begin();
    const begun = cluster.clock.monotonic();
    cluster.clock.after(14_000, () => outage.end());
    await cluster.start("a");
    assert(cluster.clock.monotonic() - begun < 15_500, `it started after ${cluster.clock.monotonic() - begun} ms`);
    assert(await cluster.record("a") !== undefined);
  });

  it("for longer: a node that joins does not start, and its error is the store's, after 15 to 21 s", async () => {
    await using cluster = new Cluster();
    const outage = new StoreOutage(cluster.network);
    outage.begin();
    const begun = cluster.clock.monotonic();
    const error = await assertRejects(() => cluster.start("a"), CatgaError, "the store is away");
    const took = cluster.clock.monotonic() - begun;
    assert(error.code === "UNAVAILABLE" && took >= 15_000 && took <= 21_000, `${error.code} after ${took} ms`);
    outage.end();
  });

  it("a drain under load whose record stays fails no request (senders that did not know of it had OUTCOME_UNKNOWN)", async () => {
    await using cluster = new Cluster();
    const outage = new StoreOutage(cluster.network);
    const Do = command<number, string>("Do");
    for (const id of ["a", "b", "c"]) {
      await cluster.start(id, { handlers: id === "a" ? [] : Do.handle((_, ctx) => ctx.node) });
    }
    cluster.network.faults = { delay: 4 };
    const sent: Promise<Result<string>>[] = [];
    outage.begin();
    const drained = cluster.apps.get("b")!.drain();
    for (let ms = 0; ms < 3_000; ms++) {
      for (let i = 0; i < 5; i++) sent.push(cluster.apps.get("a")!.send(Do, i));
      await cluster.clock.advance(1);
    }
    outage.end();
    const results = await cluster.clock.until(Promise.all(sent), 1_000);
    assertEquals(results.filter(({ ok }) => !ok).map(({ error }) => error?.code), []);
    await cluster.clock.until(drained, 100);
    cluster.apps.delete("b");
  });

  it("while no record can be written, a node that answers pings stays; one that is killed leaves in 1.1 s", async () => {
    await using stage = await open("a", "b", "c", "d");
    const { cluster, outage } = stage;
    await expireRecords(stage);
    await cluster.clock.advance(120_000);
    assertEquals([new Set(cluster.views()), stage.moves()], [new Set(["a b c d"]), []]);
    cluster.kill("b");
    await cluster.clock.advance(1_100);
    assertEquals(new Set(cluster.views()), new Set(["a c d"]));
    outage.end();
    await cluster.clock.advance(20_000);
    assertEquals([new Set(cluster.views()), stage.moves()], [new Set(["a c d"]), ["leave b"]]);
  });

  it("a frozen node without a record leaves in 1.6 s, and is back when it goes on, before its record is", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster, outage } = stage;
    await expireRecords(stage);
    cluster.network.pause("b");
    await cluster.clock.advance(1_600);
    assertEquals([cluster.views()[0], cluster.views()[2]], ["a c", "a c"]);
    cluster.network.resume("b");
    await cluster.clock.advance(10);
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
    assertEquals(await cluster.record("b"), undefined);
    assertEquals(
      (await cluster.clock.until(cluster.apps.get("a")!.send(Who, undefined, { node: "b" }), 10)).value,
      "b",
    );
    outage.end();
    await cluster.clock.advance(20_000);
    assertEquals([cluster.views(), stage.moves()], [["a b c", "a b c", "a b c"], ["leave b", "join b"]]);
  });

  it("each node pings each other one whose record is gone once a second, and no more", async () => {
    await using stage = await open("a", "b", "c", "d");
    await expireRecords(stage);
    let pings = 0;
    stage.cluster.network.connect().subscribe("catga.default.node.>", {}, ({ data }) => {
      if (new TextDecoder().decode(data).includes('["p",')) pings++;
    });
    await stage.cluster.clock.advance(10_000);
    assertEquals(pings, 10 * 4 * 3);
  });

  it("a node drains nevertheless, and is gone from every view 1.1 s after its process", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster } = stage;
    await expireRecords(stage);
    await cluster.clock.until(cluster.apps.get("b")!.drain(), 30_000);
    cluster.apps.delete("b");
    await cluster.clock.advance(1_100);
    assertEquals(cluster.views(), ["a c", "a c"]);
    stage.outage.end();
  });

  it("records that expire too early remove no node", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster } = stage;
    cluster.network.faults = { earlyExpiry: 0.5 };
    await cluster.clock.advance(120_000);
    cluster.network.heal();
    assertEquals([cluster.views(), stage.moves()], [["a b c", "a b c", "a b c"], []]);
  });
});

describe("a node that is frozen", () => {
  // docs/cluster.md, crash semantics, "freeze": the node leaves every view
  // docs/cluster.md, crash semantics, "end of a freeze": the node leaves every view
  it("leaves half a second after its record has expired, and suspects no other node when it goes on", async () => {
    await using stage = await open("a", "c");
    const { cluster } = stage;
    await cluster.clock.advance(300); // after 300 ms b starts between two rounds of pings
    await cluster.start("b", { heartbeat: HEARTBEAT });
    cluster.network.pause("b");
    await cluster.clock.advance(HEARTBEAT);
    assertEquals(cluster.apps.get("a")!.nodes().length, 3);
    await cluster.clock.advance(500);
    assertEquals(cluster.views().slice(0, 2), ["a c", "a c"]);
    await cluster.clock.advance(60_000);
    const changes = follow(cluster.apps.get("b")!.watchNodes());
    cluster.network.resume("b");
    await cluster.clock.advance(5_000);
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
    assertEquals(changes.events.filter((event) => !event.startsWith("update")), []);
    assert(!cluster.log.some((line) => line.startsWith("catga b: node") && line.endsWith("suspect")));
  });

  it("suspects no other node for its own pause when it goes on, though their records are gone", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster } = stage;
    const changes = follow(cluster.apps.get("b")!.watchNodes());
    await expireRecords(stage);
    for (let i = 0; i < 10; i++) { // ten rounds: chance decides if timers or messages of the resumed process come first
      cluster.network.pause("c");
      await cluster.clock.advance(1_000);
      cluster.network.pause("b"); // b freezes right after a round of pings
      cluster.network.resume("c");
      await cluster.clock.advance(3_000);
      cluster.network.resume("b");
      await cluster.clock.advance(1_000);
    }
    await cluster.clock.advance(2_000);
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
    assertEquals(changes.events.filter((event) => !event.startsWith("update")), []);
  });
});

describe("a node that is cut off from NATS", () => {
  it("keeps its view, says so, and sees afterwards who came and who went meanwhile", async () => {
    await using stage = await open("a", "b", "c", "d", "e");
    const { cluster } = stage;
    cluster.network.cut("b");
    await cluster.clock.advance(100);
    assert(cluster.log.some((line) => line.startsWith("catga b: ") && line.includes("lost")), cluster.log.join("\n"));
    cluster.kill("c");
    await cluster.clock.until(cluster.apps.get("d")!.drain());
    cluster.apps.delete("d");
    await cluster.start("f", { heartbeat: HEARTBEAT });
    await cluster.clock.advance(60_000);
    const [a, b, ...others] = cluster.views();
    assertEquals([a, b, ...others], ["a e f", "a b c d e", "a e f", "a e f"]);
    cluster.network.restore("b");
    await cluster.clock.advance(0);
    assertEquals(cluster.views().filter((view) => !view.includes("b")), []);
    await cluster.clock.advance(5_000);
    assertEquals(new Set(cluster.views()), new Set(["a b e f"]));
    const ends = cluster.log.filter((line) => /^catga b: node [cd]: (leave|lost)/.test(line));
    assertEquals(ends.sort(), ["catga b: node c: lost", "catga b: node d: leave"]);
  });

  // docs/cluster.md, crash semantics, "it loses its connection": the node leaves every view
  it("leaves every other view within 3 s, and is back in them as soon as it is", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster } = stage;
    cluster.network.cut("b");
    await cluster.clock.advance(3_000);
    assertEquals([cluster.views()[0], cluster.views()[2], stage.moves()], ["a c", "a c", ["leave b"]]);
    cluster.network.restore("b");
    await cluster.clock.advance(100);
    assertEquals(new Set(cluster.views()), new Set(["a b c"]));
  });

  it("all at once, each back at a time of its own: nobody leaves", async () => {
    await using stage = await open("a", "b", "c", "d");
    const { cluster } = stage;
    for (const id of ["a", "b", "c", "d"]) cluster.network.cut(id);
    await cluster.clock.advance(60_000);
    for (const [i, id] of ["c", "a", "d", "b"].entries()) {
      cluster.network.restore(id);
      await cluster.clock.advance(700 - i);
    }
    await cluster.clock.advance(10_000);
    assertEquals([new Set(cluster.views()), stage.moves()], [new Set(["a b c d"]), []]);
  });
});

describe("a server that goes and comes back", () => {
  for (const away of [100, 300, 500, 700, 900, 3_000]) {
    it(`after ${away} ms: who died meanwhile leaves every view within 3 s of its return, and nobody else`, async () => {
      await using stage = await open("a", "b", "c", "d", "e", "f");
      const { cluster } = stage;
      const left = ["a", "b", "e", "f"];
      for (const id of ["a", "b", "c", "d", "e", "f"]) cluster.network.cut(id);
      for (const id of ["c", "d"]) cluster.kill(id);
      await cluster.clock.advance(away);
      for (const id of left) cluster.network.restore(id);
      await cluster.clock.advance(3_000);
      assertEquals([new Set(cluster.views()), stage.moves().toSorted()], [
        new Set([left.join(" ")]),
        ["leave c", "leave d"],
      ]);
    });
  }
});

describe("a wall clock that jumps", () => {
  for (const jump of [3_600_000, -3_600_000]) {
    // docs/cluster.md, crash semantics, "its wall clock is wrong": new requests, the node leaves every view
    it(`by ${jump / 3_600_000} h: nobody leaves, nothing expires early, and only lastSeen shows it`, async () => {
      const cluster = new Cluster();
      const clock = new JumpingClock(cluster.clock);
      const network = new MemoryNetwork({ clock, seed: 7 });
      for (const id of ["a", "b", "c"]) await cluster.start(id, { network, heartbeat: HEARTBEAT });
      const a = cluster.apps.get("a")!;
      const changes = follow(a.watchNodes());
      for (const ahead of [jump, 0]) {
        clock.ahead = ahead;
        await cluster.clock.advance(30_000);
        const age = clock.now() - a.nodes()[1].lastSeen;
        assert(age >= 0 && age <= HEARTBEAT * LONGEST, `b was seen ${age} ms ago`);
        assertEquals(new Set(cluster.views()), new Set(["a b c"]));
      }
      assertEquals(changes.events.filter((event) => !event.startsWith("update")), []);
      assert(!cluster.log.some((line) => line.includes("suspect")), cluster.log.join("\n"));
      assertEquals((await cluster.clock.until(a.send(Who, undefined, { node: "c", timeout: 50 }))).value, "c");
      clock.ahead = jump; // dead nodes are still found after the jump
      network.kill("b");
      cluster.apps.delete("b");
      await cluster.clock.advance(3_000);
      assertEquals(new Set(cluster.views()), new Set(["a c"]));
      network.pause("c");
      await cluster.clock.advance(HEARTBEAT + 500);
      assertEquals(a.nodes().map(({ id }) => id), ["a"]);
      network.heal();
      await cluster[Symbol.asyncDispose]();
    });
  }
});

/** A cluster whose store can be taken away, and the events that watchers of the first node got. */
interface StoreStage extends AsyncDisposable {
  readonly cluster: Cluster;
  readonly outage: StoreOutage;
  readonly events: readonly string[];
  /** Returns the joins and leaves among the events. */
  moves(): string[];
}

async function open(...ids: string[]): Promise<StoreStage> {
  const cluster = new Cluster();
  const outage = new StoreOutage(cluster.network);
  for (const id of ids) await cluster.start(id, { heartbeat: HEARTBEAT });
  const { events } = follow(cluster.apps.get(ids[0])!.watchNodes());
  return {
    cluster,
    outage,
    events,
    moves: () => events.filter((event) => !event.startsWith("update")),
    async [Symbol.asyncDispose]() {
      outage.end();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

/**
 * Lets all records expire, as every watch reports, while no write succeeds: like a JetStream that has just come back
 * and has no leader.
 */
async function expireRecords({ cluster, outage }: StoreStage): Promise<void> {
  outage.begin();
  await cluster.clock.advance(HEARTBEAT + 1_000);
  outage.watch();
  await cluster.clock.advance(10);
  assertEquals(await (await cluster.network.store.open(BUCKET)).entries(""), []);
}

/** A clock whose wall time is set by the test. */
class JumpingClock implements Clock {
  /** Time by which the wall clock is ahead, in ms. */
  ahead = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now() + this.ahead;
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(...timer: Parameters<Clock["after"]>): ReturnType<Clock["after"]> {
    return this.#clock.after(...timer);
  }

  soon(callback: () => void): void {
    this.#clock.soon(callback);
  }
}
