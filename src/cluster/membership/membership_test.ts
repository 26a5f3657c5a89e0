/** Tests of the membership: joins, leaves and updates, lost and invalid records, and requests after changes. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { catga } from "../../catga.ts";
import { command, query } from "../../contract/declaration/definition.ts";
import { CatgaError } from "../../error.ts";
import type { Bucket, Change } from "../../ports/key_value_store.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Result } from "../../contract/calls/result.ts";
import { BUCKET, follow, MemoryCluster as Cluster, Who } from "../../../test/support/memory_cluster.ts";
import { Player } from "../../../test/support/stage.ts";
import { MalformedCount } from "../wire/frame_reader.ts";
import { Membership, SkippedRecords } from "./membership.ts";
import { LONGEST } from "./own_record.ts";
import type { Observation } from "../../contract/nodes/observer.ts";

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
    assertEquals(cluster.log.filter((line) => /node b: (leave|lost)/.test(line)).sort(), [
      "catga a: node b: leave",
      "catga b: node b: leave",
      "catga c: node b: leave",
    ]);
  });

  it("50 nodes see each other, and leave no record when they leave", { timeout: 300_000 }, async () => {
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
    await cluster.clock.advance(20_500);
    assertEquals(cluster.views(), ["a b", "a b"]);
    const age = cluster.clock.now() - cluster.apps.get("a")!.nodes()[1].lastSeen;
    assert(age <= 3_000 * LONGEST, `b was seen ${age} ms ago`);
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
    await membership.join(() => Promise.resolve());
    const written = Promise.withResolvers<void>();
    acknowledge = written.promise;
    await clock.advance(3_000); // the record is written, and the acknowledgement is held back
    await bucket.delete("b");
    await clock.advance(0);
    written.resolve();
    await clock.advance(0);
    assert(await bucket.get("b") !== undefined);
    await membership.leave();
    membership.close();
    assertEquals(await bucket.get("b"), undefined);
  });

  it("of a join whose other part fails, as when the connection is closed now, is no error that nobody handles", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const bucket = await network.store.open(BUCKET);
    const closed = new CatgaError("CLOSED", "the network connection was closed");
    const join = solitary(bucket, network).join(() => Promise.reject(closed));
    assertStrictEquals(await assertRejects(() => join), closed);
  });

  it("whose last write is reported late makes a node that has left no member again", async () => {
    const { bucket, membership, report } = await watchedMembership();
    const written = (await bucket.get("b"))!;
    await membership.leave();
    report({ type: "put", ...written });
    assertEquals(membership.view.get("b"), undefined);
    membership.close();
  });

  it("that is gone with a store that lost the last write, too, is written again at once, not at the next heartbeat", async () => {
    const { clock, bucket, membership, report } = await watchedMembership();
    await bucket.delete("b");
    // the report is about a revision that is older than the last acknowledged revision
    report({ type: "vanish", key: "b", revision: 1 });
    await clock.advance(0);
    assert(await bucket.get("b") !== undefined);
    await membership.leave();
    membership.close();
  });

  it("that is overwritten with garbage is ignored by the others, and written again at once by its node", async () => {
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

  it("that is invalid is ignored, and logged once a minute, however many there are", async () => {
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
    const lines = cluster.log.filter((line) => line.includes("malformed"));
    assertEquals(lines.length, 2);
    assert(lines[1].includes("dropped 300 malformed"), lines[1]);
  });

  it("of another protocol version makes no member, and removes the member that it replaces", async () => {
    await using cluster = await Cluster.of("a");
    const player = new Player(cluster.network, "x");
    await player.register(["Who"], { protocol: 2 });
    await cluster.clock.advance(0);
    assertEquals(cluster.views(), ["a"]);
    await player.register(["Who"]);
    await cluster.clock.advance(0);
    assertEquals(cluster.views(), ["a x"]);
    // regression: the old process stayed a member for ever
    await player.register(["Who"], { protocol: 2, endpoint: "x.2" });
    await cluster.clock.advance(0);
    assertEquals(cluster.views(), ["a"]);
  });

  it("of a restarted process replaces the old one: an update with another endpoint", async () => {
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

/** Returns a bucket that behaves like `bucket`, with the methods in `ways` in place of its own. */
function over(bucket: Bucket, ways: Partial<Bucket>): Bucket {
  return {
    name: bucket.name,
    size: bucket.size,
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

/** Makes the membership of a node `b` that has joined; `report` reports a change of the bucket to it. */
async function watchedMembership() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const bucket = await network.store.open(BUCKET);
  let report = (_: Change) => {};
  const watched = over(bucket, { watch: (_, onChange) => Promise.resolve(void (report = onChange)) });
  const membership = solitary(watched, network);
  await membership.join(() => Promise.resolve());
  return { clock, bucket, membership, report };
}

/** Makes the membership of a node `b`, without the rest of the node. */
function solitary(bucket: Bucket, network: MemoryNetwork, changed: (handled: boolean) => void = () => {}): Membership {
  const self = JSON.parse(new Player(network, "b").record());
  const observer = () => {};
  return new Membership({
    bucket,
    clock: network.clock,
    random: network.random,
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
    askGap: () => {},
    gapFound: () => {},
  });
}

describe("what nodes handle", () => {
  it("is one list for all replicas, and changes at a join and a leave, not when a record is refreshed", async () => {
    await using cluster = await Cluster.of("a");
    const { network } = cluster;
    const bucket = await network.store.open(BUCKET);
    const changes: boolean[] = [];
    const membership = solitary(bucket, network, (handled) => changes.push(handled));
    await membership.join(() => Promise.resolve());
    const [a, b] = membership.view.members;
    assertEquals([a.info.id, a.info.handles, b.info.id, b.info.handles], ["a", ["Who"], "b", []]);
    assertEquals([membership.view.alone("Who"), membership.view.alone("Gone")], [false, true]);
    await cluster.start("c");
    changes.length = 0;
    await cluster.clock.advance(10_100); // all nodes refresh their records in this time
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
    membership.close();
  });
});

describe("requests and the membership", () => {
  it("a request that nobody handles waits 500 ms for a node that joins, and then ends with NO_HANDLER", async () => {
    await using cluster = await Cluster.of("a");
    const Add = command<number, string>("Add");
    const app = cluster.apps.get("a")!;
    const waited = app.send(Add, 1);
    await cluster.clock.advance(400);
    await cluster.start("b", { handlers: Add.handle((_, ctx) => ctx.node) });
    assertEquals((await cluster.clock.until(waited, 10)).value, "b");
    const Other = command<number, string>("Other");
    const start = cluster.clock.monotonic();
    const { error } = await cluster.clock.until(app.send(Other, 1));
    assertEquals([error?.code, error?.retryable, cluster.clock.monotonic() - start], ["NO_HANDLER", false, 500]);
    const results = [app.send(Other, 1, { timeout: 100 }), app.send(Other, 1, { signal: AbortSignal.abort() })];
    const codes = (await cluster.clock.until(Promise.all(results))).map(({ error }) => error?.code);
    assertEquals([codes, app.self.load.inFlight], [["UNAVAILABLE", "CANCELLED"], 0]);
  });

  it("a drain ends requests that wait for a node that never joins", async () => {
    const cluster = await Cluster.of("a");
    const app = cluster.apps.get("a")!;
    const waited = app.send(command<void, void>("Nobody"));
    const start = cluster.clock.monotonic();
    await cluster.clock.until(app.drain());
    assertEquals([(await waited).error?.code, cluster.clock.monotonic() - start], ["NO_HANDLER", 500]);
  });

  it("a drain under load fails no request (a bounce overtook the answers: OUTCOME_UNKNOWN)", async () => {
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

  it("options.node: the request reaches that node and no other, be it the sender, another one, or none", async () => {
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

  it("a broadcast reaches all nodes, its sender included, and returns a result for each that failed", async () => {
    await using cluster = await Cluster.of("a", "b");
    const failing = Who.handle(() => {
      throw new Error("no");
    });
    await cluster.start("c", { handlers: failing });
    cluster.network.kill("b");
    const app = cluster.apps.get("a")!;
    const outcomes = (all: { node: string; result: Result<string> }[]) =>
      all.map(({ node, result }) => [node, result.error?.code ?? result.value]);
    assertEquals(outcomes(await cluster.clock.until(app.broadcast(Who), 100)), [
      ["a", "a"],
      ["b", "UNAVAILABLE"],
      ["c", "HANDLER_FAILED"],
    ]);
    assertEquals(outcomes(await cluster.clock.until(app.broadcast(Who, undefined, { node: "a" }), 100)), [["a", "a"]]);
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

describe("SkippedRecords", () => {
  it("reports the first at once, and those of the next minute together", async () => {
    const clock = new VirtualClock();
    const reports: Observation[] = [];
    const skipped = new SkippedRecords(clock, (report) => reports.push(report));
    skipped.add("unproven");
    skipped.add("unproven");
    skipped.add("members");
    await clock.advance(59_999);
    skipped.add("members");
    assertEquals(reports, [{ type: "crowded", unproven: 1, members: 0 }]);
    await clock.advance(1);
    skipped.add("members");
    assertEquals(reports.slice(1), [{ type: "crowded", unproven: 1, members: 3 }]);
  });
});
