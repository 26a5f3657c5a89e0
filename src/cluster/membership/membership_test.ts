/** Who is there: join, leave, update, suspicion, burial, eviction by mistake, duplicate ids, and records that are none. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { catga } from "../../catga.ts";
import { command, query } from "../../contract/definition.ts";
import { CatgaError } from "../../error.ts";
import type { Bucket, Change } from "../../ports/key_value_store.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Result } from "../../contract/result.ts";
import { BUCKET, follow, MemoryCluster as Cluster, Who } from "../../../test/support/memory_cluster.ts";
import { openStage, Player } from "../../../test/support/stage.ts";
import { MalformedCount } from "../wire/malformed_count.ts";
import { Membership } from "./membership.ts";

describe("nodes", () => {
  it("a start is seen at once by all, and sees all; a drain is seen at once", async () => {
    await using cluster = await Cluster.of("b", "a", "c");
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
    const { id, handles, service, protocol, endpoint } = cluster.apps.get("a")!.nodes()[1];
    assertEquals({ id, handles, service, protocol }, { id: "b", handles: ["Who"], service: "app", protocol: 1 });
    assertEquals(endpoint, cluster.apps.get("b")!.self.endpoint);
    const leaving = cluster.apps.get("b")!;
    await cluster.clock.until(leaving.drain(), 0);
    cluster.apps.delete("b");
    assertEquals([cluster.views(), leaving.nodes(), await cluster.record("b")], [["a c", "a c"], [], undefined]);
  });

  it("50 see each other, and leave without a trace", { timeout: 120_000 }, async () => {
    const cluster = new Cluster();
    const ids = Array.from({ length: 50 }, (_, i) => `n${String(i).padStart(2, "0")}`);
    await Promise.all(
      ids.map((id) => catga({ network: cluster.network, id }).then((app) => cluster.apps.set(id, app))),
    );
    await cluster.clock.advance(0);
    assertEquals(new Set(cluster.views()), new Set([ids.join(" ")]));
    await cluster[Symbol.asyncDispose]();
    assertEquals(await (await cluster.network.store.open(BUCKET)).entries(""), []);
  });

  it("records are refreshed at a third of the heartbeat, and stay while the node lives", async () => {
    await using cluster = new Cluster();
    await cluster.start("a", { heartbeat: 3_000 });
    await cluster.start("b", { heartbeat: 3_000 });
    const before = cluster.apps.get("a")!.nodes()[1].lastSeen;
    await cluster.clock.advance(20_500);
    assertEquals(cluster.views(), ["a b", "a b"]);
    assertEquals(cluster.apps.get("a")!.nodes()[1].lastSeen, before + 20_000);
  });
});

describe("watchNodes", () => {
  it("tells of joins, updates and leaves; ends when the signal aborts, and at a drain", async () => {
    const cluster = await Cluster.of("a");
    const app = cluster.apps.get("a")!;
    const stop = new AbortController();
    const one = follow(app.watchNodes({ signal: stop.signal }));
    const two = follow(app.watchNodes());
    await cluster.start("b", { heartbeat: 3_000 });
    await cluster.clock.advance(1_100);
    assertEquals(one.events, ["join b", "update b"]);
    stop.abort();
    await cluster.clock.advance(0);
    assertEquals([one.ended(), two.ended()], [true, false]);
    await cluster.clock.until(cluster.apps.get("b")!.drain());
    await cluster.clock.advance(0);
    assertEquals(two.events, ["join b", "update b", "leave b"]);
    await cluster.clock.until(app.drain());
    await cluster.clock.advance(0);
    assert(two.ended());
    assertEquals((await app.watchNodes().next()).done, true);
  });

  it("one that is never read, or left, keeps nothing alive: return ends it, and so does the signal", async () => {
    await using cluster = await Cluster.of("a");
    const app = cluster.apps.get("a")!;
    const stop = new AbortController();
    const unread = app.watchNodes({ signal: stop.signal });
    stop.abort(); // before anybody asked
    const waiting = app.watchNodes();
    const next = [waiting.next(), waiting.next()];
    await waiting.return!(); // it waited for the next change
    const broken = app.watchNodes();
    await broken.return!(); // it was never begun, and went on listening
    await cluster.start("b");
    assertEquals((await unread.next()).done, true);
    assertEquals((await Promise.all(next)).map(({ done }) => done), [true, true]);
    assertEquals((await broken.next()).done, true);
    assertEquals((await app.watchNodes({ signal: AbortSignal.abort() }).next()).done, true);
  });

  it("several reads at once each get one change, in order", async () => {
    await using cluster = await Cluster.of("a");
    const changes = cluster.apps.get("a")!.watchNodes();
    const reads = [changes.next(), changes.next()];
    await cluster.start("b");
    await cluster.start("c");
    await cluster.start("d");
    const ids = [...await Promise.all(reads), await changes.next()].map(({ value }) => value.node.id);
    assertEquals(ids, ["b", "c", "d"]);
    await changes.return!();
  });
});

describe("a node that dies without a word", () => {
  it("is suspect at the first bounce and out of every view after the second, a second later", async () => {
    await using cluster = await Cluster.of("a", "b", "c");
    cluster.kill("b");
    await cluster.clock.advance(1_050);
    assert(cluster.log.includes("catga a: node b: suspect"), cluster.log.join("\n"));
    assertEquals(cluster.views(), ["a b c", "a b c"]);
    await cluster.clock.advance(1_950);
    assertEquals([cluster.views(), await cluster.record("b")], [["a c", "a c"], undefined]);
  });

  it("three at once are gone in 6 s, wherever they stand in the ring", async () => {
    for (const dead of [["b", "c", "d"], ["a", "b", "f"], ["a", "c", "e"], ["d", "e", "f"]]) {
      await using cluster = await Cluster.of("a", "b", "c", "d", "e", "f");
      dead.forEach((id) => cluster.kill(id));
      await cluster.clock.advance(6_000);
      const left = [..."abcdef"].filter((id) => !dead.includes(id)).join(" ");
      assertEquals(cluster.views(), [left, left, left], dead.join());
    }
  });

  it("all but one: the last sees itself", async () => {
    await using cluster = await Cluster.of("a", "b", "c", "d");
    ["a", "b", "c"].forEach((id) => cluster.kill(id));
    await cluster.clock.advance(6_000);
    assertEquals(cluster.views(), ["d"]);
  });

  it("is found by one ping a second for each node, whatever the size of the cluster", async () => {
    await using cluster = await Cluster.of("a", "b", "c", "d", "e", "f", "g", "h");
    let pings = 0;
    const tap = cluster.network.connect();
    tap.subscribe("catga.default.node.>", {}, ({ data }) => {
      if (new TextDecoder().decode(data).includes('["p",')) pings++;
    });
    await cluster.clock.advance(10_000);
    assertEquals(pings, 80);
  });

  it("is not buried for one bounce after it was silent for a while", async () => {
    await using stage = await openStage();
    const { other, clock, network, app } = stage;
    other.pongs = false;
    await clock.advance(4_500);
    assert(stage.log.some((line) => line.endsWith("node other: suspect")), stage.log.join("\n"));
    network.cut("other");
    await clock.advance(1_000); // one ping bounces
    assertEquals(app.nodes().map(({ id }) => id), ["node", "other"]);
    await clock.advance(1_000); // and another
    assertEquals(app.nodes().map(({ id }) => id), ["node"]);
  });
});

describe("a node that is silent", () => {
  it("is suspect, stays in the view until its record expires, and is trusted when it answers again", async () => {
    await using cluster = new Cluster();
    await cluster.start("a", { heartbeat: 9_000 });
    await cluster.start("b", { heartbeat: 9_000 });
    cluster.network.pause("b");
    await cluster.clock.advance(3_000);
    assert(cluster.log.includes("catga a: node b: suspect"), cluster.log.join("\n"));
    assertEquals(cluster.apps.get("a")!.nodes().length, 2);
    cluster.network.resume("b");
    await cluster.clock.advance(1_100);
    assert(cluster.log.includes("catga a: node b: alive"), cluster.log.join("\n"));
    cluster.network.pause("b");
    await cluster.clock.advance(9_500);
    assertEquals(cluster.apps.get("a")!.nodes().map(({ id }) => id), ["a"]);
    cluster.network.resume("b");
    await cluster.clock.advance(3_500);
    assertEquals(cluster.views(), ["a b", "a b"]);
  });
});

describe("a node that is cut off", () => {
  it("keeps its view, is taken out of that of the others, and is back at once when it is restored", async () => {
    await using cluster = await Cluster.of("a", "b", "c");
    cluster.network.cut("b");
    await cluster.clock.advance(60_000);
    assertEquals(cluster.views(), ["a c", "a b c", "a c"]);
    cluster.network.restore("b");
    await cluster.clock.advance(0);
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
    await cluster.clock.advance(30_000);
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
    assert(!cluster.log.some((line) => line.includes("b: node a: suspect")), "it suspected others for its own cut");
  });

  it("with all others: each keeps its view, and all are back", async () => {
    await using cluster = await Cluster.of("a", "b");
    for (const id of ["a", "b"]) cluster.network.cut(id);
    await cluster.clock.advance(60_000);
    assertEquals([cluster.views(), await cluster.record("a")], [["a b", "a b"], undefined]);
    for (const id of ["a", "b"]) cluster.network.restore(id);
    await cluster.clock.advance(100);
    assertEquals(cluster.views(), ["a b", "a b"]);
  });

  it("drains at once, and its record expires", async () => {
    await using cluster = await Cluster.of("a", "b");
    cluster.network.cut("b");
    await cluster.clock.until(cluster.apps.get("b")!.drain(), 0);
    cluster.apps.delete("b");
    await cluster.clock.advance(31_000);
    assertEquals([cluster.views(), await cluster.record("b")], [["a"], undefined]);
  });
});

describe("a record", () => {
  it("that is deleted by mistake is there again at once", async () => {
    await using cluster = await Cluster.of("a", "b");
    const changes = follow(cluster.apps.get("a")!.watchNodes());
    const bucket = await cluster.network.store.open(BUCKET);
    for (let i = 0; i < 3; i++) {
      await bucket.delete("b");
      await cluster.clock.advance(0);
      assertEquals(cluster.views(), ["a b", "a b"]);
    }
    assertEquals(changes.events, ["leave b", "join b", "leave b", "join b", "leave b", "join b"]);
  });

  it("that is deleted while it is being refreshed is there again at once (it was gone until the next refresh)", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const bucket = await network.store.open(BUCKET);
    let acknowledge = Promise.resolve();
    const slow = over(bucket, {
      update: (...write) => bucket.update(...write).then((revision) => acknowledge.then(() => revision)),
    });
    const membership = solitary(slow, network);
    await membership.join();
    const gate = Promise.withResolvers<void>();
    acknowledge = gate.promise;
    await clock.advance(3_000); // it is written, and the answer is on its way
    await bucket.delete("b");
    await clock.advance(0);
    gate.resolve();
    await clock.advance(0);
    assert(await bucket.get("b") !== undefined);
    await membership.leave();
    assertEquals(await bucket.get("b"), undefined);
  });

  it("that is gone with a store that lost the last write, too, is written again at once, not at the next beat", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const bucket = await network.store.open(BUCKET);
    let tell = (_: Change) => {};
    const watched = over(bucket, { watch: (_, onChange) => Promise.resolve(void (tell = onChange)) });
    const membership = solitary(watched, network);
    await membership.join();
    await bucket.delete("b");
    tell({ type: "vanish", key: "b", revision: 1 }); // what was seen of it was older than what was acknowledged
    await clock.advance(0);
    assert(await bucket.get("b") !== undefined);
    await membership.leave();
  });

  it("that somebody overwrites with garbage is ignored by the others, and mended at once by its node", async () => {
    await using cluster = await Cluster.of("a", "b");
    const bucket = await cluster.network.store.open(BUCKET);
    const good = JSON.parse((await cluster.record("b"))!);
    for (
      const text of [
        "",
        "{}",
        "[]",
        "garbage",
        JSON.stringify({ ...good, id: "c" }),
        JSON.stringify({ ...good, protocol: 2 }),
      ]
    ) {
      await bucket.put("b", text);
      await cluster.clock.advance(0);
      assertEquals(cluster.views(), ["a b", "a b"], text);
      assertEquals((JSON.parse((await cluster.record("b"))!) as { protocol: number; id: string }).id, "b", text);
      assertEquals((JSON.parse((await cluster.record("b"))!) as { protocol: number }).protocol, 1, text);
    }
  });

  it("that is none is ignored, however many there are, and told of once a minute", async () => {
    await using cluster = await Cluster.of("a");
    const bucket = await cluster.network.store.open(BUCKET);
    const player = new Player(cluster.network, "x");
    const wrong = [
      "",
      "null",
      "[]",
      "{",
      player.record([], { endpoint: "y.1" }),
      player.record(["a b"]),
      "x".repeat(10_000),
    ];
    for (let i = 0; i < 300; i++) await bucket.put(`x${i % 20}`, wrong[i % wrong.length]);
    await cluster.clock.advance(100);
    assertEquals(cluster.views(), ["a"]);
    assertEquals(cluster.log.filter((line) => line.includes("malformed")).length, 1);
    await cluster.clock.advance(60_000);
    await bucket.put("x", "garbage");
    await cluster.clock.advance(0);
    const told = cluster.log.filter((line) => line.includes("malformed"));
    assertEquals(told.length, 2);
    assert(told[1].includes("dropped 300 malformed"), told[1]);
  });

  it("of another version of the protocol is ignored; in place of a node of ours, that one is gone", async () => {
    await using cluster = await Cluster.of("a");
    const player = new Player(cluster.network, "x");
    await player.register(["Who"], { protocol: 2 });
    await cluster.clock.advance(0);
    assertEquals(cluster.views(), ["a"]);
    await player.register(["Who"]);
    await cluster.clock.advance(0);
    assertEquals(cluster.views(), ["a x"]);
    await player.register(["Who"], { protocol: 2, endpoint: "x.2" }); // the old process stayed in the view for ever
    await cluster.clock.advance(0);
    assertEquals(cluster.views(), ["a"]);
  });

  it("of a restarted process takes the place of the old one: an update with another endpoint", async () => {
    await using cluster = await Cluster.of("a", "b");
    const changes = follow(cluster.apps.get("a")!.watchNodes());
    const before = cluster.apps.get("b")!.self.endpoint;
    cluster.kill("b");
    await cluster.start("b");
    assertEquals(changes.events, ["update b"]);
    const { endpoint } = cluster.apps.get("a")!.nodes()[1];
    assert(endpoint !== before && endpoint === cluster.apps.get("b")!.self.endpoint);
    const result = await cluster.clock.until(cluster.apps.get("a")!.send(Who, undefined, { node: "b" }), 10);
    assertEquals(result.value, "b");
  });
});

/** A bucket that does some things in another way. */
function over(bucket: Bucket, ways: Partial<Bucket>): Bucket {
  return {
    name: bucket.name,
    get: (key) => bucket.get(key),
    create: (...write) => bucket.create(...write),
    update: (...write) => bucket.update(...write),
    put: (...write) => bucket.put(...write),
    delete: (...key) => bucket.delete(...key),
    entries: (prefix) => bucket.entries(prefix),
    watch: (...request) => bucket.watch(...request),
    ...ways,
  };
}

/** The membership of a node `b` that is nothing else. */
function solitary(bucket: Bucket, network: MemoryNetwork, changed: (handled: boolean) => void = () => {}): Membership {
  const self = JSON.parse(new Player(network, "b").record());
  const observer = () => {};
  return new Membership({
    bucket,
    clock: network.clock,
    observer,
    malformed: new MalformedCount(network.connect(), observer),
    heartbeat: 9_000,
    self: () => self,
    connected: () => true,
    server: () => ({ id: "server", clustered: false }),
    probe: () => Promise.resolve(false),
    isAlive: () => true,
    ping: () => {},
    conclusive: () => true,
    changed,
    recordGone: () => {},
    evicted: () => {},
  });
}

describe("what nodes handle", () => {
  it("is one list for all replicas, and changes at a join and a leave, not when a record is refreshed", async () => {
    await using cluster = await Cluster.of("a");
    const { network } = cluster;
    const bucket = await network.store.open(BUCKET);
    const changes: boolean[] = [];
    const membership = solitary(bucket, network, (handled) => changes.push(handled));
    await membership.join();
    const [a, b] = membership.view.members;
    assertEquals([a.info.id, a.info.handles, b.info.id, b.info.handles], ["a", ["Who"], "b", []]);
    assertEquals([membership.view.alone("Who"), membership.view.alone("Gone")], [false, true]);
    await cluster.start("c");
    changes.length = 0;
    await cluster.clock.advance(10_100); // all refresh theirs
    assertEquals([changes.length > 1, changes.some(Boolean)], [true, false]);
    const [again, , c] = membership.view.members;
    assert(again !== a, "the record was refreshed");
    assertStrictEquals(again.info.handles, a.info.handles);
    assertStrictEquals(c.info.handles, a.info.handles);
    changes.length = 0;
    await cluster.clock.until(cluster.apps.get("a")!.drain());
    assertEquals([changes, membership.view.alone("Who")], [[true], false]);
    await cluster.clock.until(cluster.apps.get("c")!.drain());
    assertEquals([changes, membership.view.alone("Who")], [[true, true], true]);
    await membership.leave();
  });
});

describe("a duplicate id", () => {
  it("of a live process fails to start, at once, with an error that names it; the first goes on", async () => {
    await using cluster = await Cluster.of("a", "b");
    const again = cluster.start("b", { service: "second" });
    const error = await assertRejects(() => again, CatgaError, "b");
    assertEquals(error.code, "ID_TAKEN");
    assert(
      error.message.includes(cluster.apps.get("b")!.self.endpoint) && error.message.includes("alive"),
      error.message,
    );
    await cluster.clock.advance(5_000);
    assertEquals(cluster.views(), ["a b", "a b"]);
  });

  it("of a process that is gone is taken over at once", async () => {
    await using cluster = await Cluster.of("a", "b");
    cluster.kill("b");
    const before = cluster.clock.monotonic();
    await cluster.start("b");
    assertEquals(cluster.clock.monotonic(), before);
    assertEquals(cluster.views(), ["a b", "a b"]);
  });

  it("of a frozen process fails after a second, and says that it may be frozen", async () => {
    await using cluster = await Cluster.of("a", "b");
    cluster.network.pause("b");
    const error = await assertRejects(() => cluster.start("b"), CatgaError, "frozen");
    assertEquals(error.code, "ID_TAKEN");
    cluster.network.heal();
  });

  it("whose record is garbage is taken over", async () => {
    await using cluster = await Cluster.of("a");
    await (await cluster.network.store.open(BUCKET)).put("b", "garbage");
    await cluster.start("b");
    assertEquals(cluster.views(), ["a b", "a b"]);
  });

  it("two at once: one starts, the other fails", async () => {
    await using cluster = await Cluster.of("a");
    const both = await Promise.allSettled([cluster.start("b"), catga({ network: cluster.network, id: "b" })]);
    const failed = both.filter(({ status }) => status === "rejected");
    assertEquals(failed.length, 1);
    assertEquals(((failed[0] as PromiseRejectedResult).reason as CatgaError).code, "ID_TAKEN");
    for (const started of both) if (started.status === "fulfilled") cluster.apps.set("b", started.value);
    assertEquals(cluster.views(), ["a b", "a b"]);
  });

  it("that takes over a live node's record ends that app, with ID_TAKEN; the other's record stays", async () => {
    await using cluster = await Cluster.of("a", "b");
    const victim = cluster.apps.get("b")!;
    const usurper = new Player(cluster.network, "b", "usurper");
    await usurper.register(["Who"]);
    const error = await cluster.clock.until(assertRejects(() => victim.closed, CatgaError, "b.usurper"), 1_000);
    assertEquals(error.code, "ID_TAKEN");
    cluster.apps.delete("b");
    await cluster.clock.until(victim.drain(), 1_000);
    assertEquals((JSON.parse((await cluster.record("b"))!) as { endpoint: string }).endpoint, "b.usurper");
    assertEquals((await victim.send(Who)).error?.code, "CLOSED");
    assertEquals(cluster.views(), ["a b"]);
  });
});

describe("requests and the membership", () => {
  it("NO_HANDLER waits 500 ms for a node that joins, and then fails", async () => {
    await using cluster = await Cluster.of("a");
    const Add = command<number, string>("Add");
    const app = cluster.apps.get("a")!;
    const waited = app.send(Add, 1);
    await cluster.clock.advance(400);
    await cluster.start("b", { handlers: Add.handle((_, ctx) => ctx.node) });
    assertEquals((await cluster.clock.until(waited, 10)).value, "b");
    await cluster.clock.until(cluster.apps.get("b")!.drain());
    cluster.apps.delete("b");
    const start = cluster.clock.monotonic();
    const { error } = await cluster.clock.until(app.send(Add, 1));
    assertEquals([error?.code, error?.retryable, cluster.clock.monotonic() - start], ["NO_HANDLER", false, 500]);
    const results = [app.send(Add, 1, { timeout: 100 }), app.send(Add, 1, { signal: AbortSignal.abort() })];
    const codes = (await cluster.clock.until(Promise.all(results))).map(({ error }) => error?.code);
    assertEquals([codes, app.self.load.inFlight], [["UNAVAILABLE", "CANCELLED"], 0]);
  });

  it("a drain ends those that wait for a node that never comes", async () => {
    const cluster = await Cluster.of("a");
    const app = cluster.apps.get("a")!;
    const waited = app.send(command<void, void>("Nobody"));
    const start = cluster.clock.monotonic();
    await cluster.clock.until(app.drain());
    assertEquals([(await waited).error?.code, cluster.clock.monotonic() - start], ["NO_HANDLER", 500]);
  });

  it("a drain under load is seen by no caller (a bounce overtook the answers: OUTCOME_UNKNOWN)", async () => {
    await using cluster = await Cluster.of("a");
    const Do = command<number, string>("Do");
    for (const id of ["b", "c"]) await cluster.start(id, { handlers: Do.handle((_, ctx) => ctx.node) });
    cluster.network.faults = { delay: 4 };
    const sent: Promise<Result<string>>[] = [];
    const leaving = cluster.apps.get("b")!;
    let drained: Promise<void> | undefined;
    for (let ms = 0; ms < 150; ms++) {
      if (ms === 30) drained = leaving.drain();
      for (let i = 0; i < 5; i++) sent.push(cluster.apps.get("a")!.send(Do, i));
      await cluster.clock.advance(1);
    }
    const results = await cluster.clock.until(Promise.all(sent), 1_000);
    assertEquals(results.filter(({ ok }) => !ok).map(({ error }) => error?.code), []);
    await cluster.clock.until(drained!, 100);
    cluster.apps.delete("b");
  });

  it("options.node reaches that node and no other: itself, another, and none", async () => {
    await using cluster = await Cluster.of("a", "b", "c");
    const app = cluster.apps.get("a")!;
    for (let i = 0; i < 5; i++) {
      for (const node of ["a", "b", "c"]) {
        assertEquals((await cluster.clock.until(app.send(Who, undefined, { node }), 10)).value, node);
      }
    }
    const { error } = await cluster.clock.until(app.send(Who, undefined, { node: "nobody" }));
    assertEquals(error?.code, "NO_HANDLER");
    assert(error!.message.includes("nobody"), error!.message);
    cluster.kill("b");
    const gone = await cluster.clock.until(app.send(Who, undefined, { node: "b" }));
    assertEquals([gone.error?.code, gone.error?.node], ["UNAVAILABLE", "b"]);
  });

  it("a broadcast reaches all, itself included, and tells of each that failed", async () => {
    await using cluster = await Cluster.of("a", "b");
    const failing = Who.handle(() => {
      throw new Error("no");
    });
    await cluster.start("c", { handlers: failing });
    cluster.network.kill("b");
    const app = cluster.apps.get("a")!;
    const told = (all: { node: string; result: Result<string> }[]) =>
      all.map(({ node, result }) => [node, result.error?.code ?? result.value]);
    assertEquals(told(await cluster.clock.until(app.broadcast(Who), 100)), [
      ["a", "a"],
      ["b", "UNAVAILABLE"],
      ["c", "HANDLER_FAILED"],
    ]);
    assertEquals(told(await cluster.clock.until(app.broadcast(Who, undefined, { node: "a" }), 100)), [["a", "a"]]);
    assertEquals(await app.broadcast(query("Nobody")), []);
    cluster.apps.delete("b");
  });

  it("a request whose only handler is this node never touches the network", async () => {
    await using cluster = await Cluster.of("a");
    const seen: string[] = [];
    cluster.network.connect().subscribe("catga.default.node.>", {}, ({ subject }) => seen.push(subject));
    for (let i = 0; i < 10; i++) assertEquals((await cluster.apps.get("a")!.send(Who)).value, "a");
    await cluster.clock.advance(500);
    assertEquals(seen, []);
  });

  it("round-robin goes over all nodes, this one included, in turn", async () => {
    await using cluster = await Cluster.of("a", "b", "c");
    const order: unknown[] = [];
    for (let i = 0; i < 9; i++) order.push((await cluster.clock.until(cluster.apps.get("b")!.send(Who), 10)).value);
    for (let i = 3; i < 9; i++) assertEquals(order[i], order[i - 3]);
    assertEquals(new Set(order).size, 3);
  });
});
