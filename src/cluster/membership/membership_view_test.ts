import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import { HandledLists, MembershipView } from "./membership_view.ts";
import { follow, MemoryCluster as Cluster } from "../../../test/support/memory_cluster.ts";

/** Makes the view of the node `a`, and records the calls and events that its changes cause. */
function setUp() {
  const logged: string[] = [];
  const changes: boolean[] = [];
  const events: string[] = [];
  const unhandled: string[] = [];
  const view = new MembershipView({
    self: "a",
    observer: (observation: Observation) => {
      if (observation.type === "node") logged.push(`${observation.change} ${observation.node}`);
    },
    changed: (handled) => changes.push(handled),
    unhandled: (name) => void unhandled.push(name),
  });
  view.watch(({ type, node }) => events.push(`${type} ${node.id}`));
  return { view, logged, changes, events, unhandled };
}

function info(id: string, handles: readonly string[] = [], nonce = "1"): NodeInfo {
  return {
    id,
    endpoint: `${id}.${nonce}`,
    service: "app",
    handles,
    startedAt: 0,
    lastSeen: 0,
    metadata: {},
    load: { inFlight: 0, queued: 0 },
    server: "s",
    protocol: 1,
    version: "0",
  };
}

describe("MembershipView", () => {
  it("members are sorted by id, and found by id and by endpoint", () => {
    const { view } = setUp();
    for (const id of ["c", "a", "b"]) view.put(info(id), 1);
    assertEquals(view.members.map(({ info }) => info.id), ["a", "b", "c"]);
    assertEquals(view.find("b.1"), view.get("b"));
    view.put(info("b", [], "2"), 2);
    assertEquals(view.find("b.1"), undefined);
    assertEquals(view.find("b.2")?.revision, 2);
    view.remove("b", "leave");
    assertEquals(view.members.map(({ info }) => info.id), ["a", "c"]);
    assertEquals(view.find("b.2"), undefined);
  });

  it("a refreshed record is an event, but neither logged nor a change of what is handled; a lost node is logged as such", () => {
    const { view, logged, changes, events } = setUp();
    view.put(info("b", ["Get"]), 1);
    view.put(info("b", ["Get"]), 2);
    view.put(info("b", ["Get", "Add"]), 3);
    view.remove("b", "leave");
    view.put(info("c"), 4);
    view.remove("c", "lost");
    assertEquals(events, ["join b", "update b", "update b", "leave b", "join c", "leave c"]);
    assertEquals(logged, ["join b", "leave b", "join c", "lost c"]);
    assertEquals(changes, [true, false, true, true, true, true]);
  });

  it("a node is alone with a contract while no other handles it", () => {
    const { view } = setUp();
    view.put(info("a", ["Get"]), 1);
    view.put(info("b", ["Add"]), 1);
    assertEquals([view.alone("Get"), view.alone("Add"), view.alone("Gone")], [true, false, true]);
  });

  it("a contract is reported when its last node leaves, or handles it no longer, and not before", () => {
    const { view, unhandled } = setUp();
    view.put(info("a", ["Get"]), 1);
    view.put(info("b", ["Add", "Get"]), 1);
    view.put(info("b", ["Add", "Get"], "2"), 2);
    assertEquals([view.handles("Add"), unhandled], [true, []]);
    view.put(info("b", ["Get"], "2"), 3);
    assertEquals([view.handles("Add"), unhandled], [false, ["Add"]]);
    view.remove("b", "leave");
    assertEquals(unhandled, ["Add"]);
    view.remove("a", "leave");
    assertEquals(unhandled, ["Add", "Get"]);
  });

  it("suspect and trust are reported once; trust and restore clear the bounces", () => {
    const { view, logged } = setUp();
    view.put(info("b"), 1);
    const member = view.get("b")!;
    member.bounces.add(5);
    view.suspect(member);
    view.suspect(member);
    view.trust(member);
    view.trust(member);
    assertEquals(logged, ["join b", "suspect b", "alive b"]);
    assertEquals(member.bounces.lastedFor(0, 5), false);
    view.suspect(member);
    view.remove("b", "leave");
    view.restore(member);
    assertEquals(view.get("b"), member);
    assertEquals(member.suspect, false);
  });
});

describe("handled lists", () => {
  it("replicas share one list, whatever array theirs came in", () => {
    const lists = new HandledLists();
    const first = lists.retain({ handles: ["Add", "Get"] });
    assertStrictEquals(lists.retain({ handles: ["Add", "Get"] }), first);
    assertEquals([first.names, first.kinds.has("Get"), first.kinds.has("Gone")], [["Add", "Get"], true, false]);
  });

  it("nodes that handle a contract are counted over all lists, until they release theirs", () => {
    const lists = new HandledLists();
    const orders = [lists.retain({ handles: ["Add", "Get"] }), lists.retain({ handles: ["Add", "Get"] })];
    const stock = lists.retain({ handles: ["Get"] });
    assertEquals([lists.count("Add"), lists.count("Get"), lists.count("Gone")], [2, 3, 0]);
    lists.release(orders[0]);
    lists.release(stock);
    assertEquals([lists.count("Add"), lists.count("Get")], [1, 1]);
    lists.release(orders[1]);
    assertEquals([lists.count("Add"), lists.count("Get")], [0, 0]);
  });

  it("a list that no node handled any more is made anew", () => {
    const lists = new HandledLists();
    lists.release(lists.retain({ handles: ["Add"] }));
    lists.retain({ handles: ["Add"] });
    assertEquals(lists.count("Add"), 1);
  });

  it("a contract is of an entity when all nodes that handle it say so, or the last one that did", () => {
    const lists = new HandledLists();
    const own = lists.retain({ handles: ["Add", "Look"], entities: ["Add"] });
    assertEquals(["Add", "Look", "None"].map((name) => lists.ofEntity(name)), [true, false, false]);
    const older = lists.retain({ handles: ["Add"] });
    assertEquals(lists.ofEntity("Add"), false);
    lists.release(older);
    assertEquals(lists.ofEntity("Add"), true);
    lists.release(own);
    assertEquals(["Add", "Look"].map((name) => lists.ofEntity(name)), [true, false]);
    lists.release(lists.retain({ handles: ["Add"] }));
    assertEquals(lists.ofEntity("Add"), false);
  });

  it("of contracts that nobody handles any more, the last 4,096 are known as those of entities", () => {
    const lists = new HandledLists();
    const serve = (name: string) => lists.release(lists.retain({ handles: [name], entities: [name] }));
    for (let i = 0; i < 4_096; i++) serve(`C${i}`);
    serve("C0"); // C0 is served a second time, so that it is the latest
    serve("new");
    assertEquals(["C0", "C1", "C2", "new"].map((name) => lists.ofEntity(name)), [true, false, true, true]);
  });
});

describe("watchNodes", () => {
  it("yields joins, updates and leaves; ends when the signal aborts, and at a drain", async () => {
    const cluster = await Cluster.of("a");
    const app = cluster.apps.get("a")!;
    const stop = new AbortController();
    const one = follow(app.watchNodes({ signal: stop.signal }));
    const two = follow(app.watchNodes());
    await cluster.start("b", { heartbeat: 3_000 });
    await cluster.clock.advance(1_340);
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

  it("an iterator that is never read is ended by return and by the signal", async () => {
    await using cluster = await Cluster.of("a");
    const app = cluster.apps.get("a")!;
    const stop = new AbortController();
    const unread = app.watchNodes({ signal: stop.signal });
    stop.abort(); // the watch is aborted before anybody has asked for a change
    const waiting = app.watchNodes();
    const next = [waiting.next(), waiting.next()];
    await waiting.return!(); // the watch is ended while calls of `next` wait for a change
    const broken = app.watchNodes();
    await broken.return!(); // the watch is ended before its first `next`; regression: it went on listening
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

  it("keeps one update of a node until it is read, the latest (each was kept, as long as nobody read)", async () => {
    await using cluster = await Cluster.of("a");
    const changes = cluster.apps.get("a")!.watchNodes();
    await cluster.start("b", { heartbeat: 3_000 });
    await cluster.start("c", { heartbeat: 3_000 });
    await changes.next(); // the first change: the join of b
    await cluster.clock.advance(60_000);
    const latest = cluster.apps.get("a")!.nodes().find(({ id }) => id === "c");
    for (const id of ["b", "c"]) await cluster.clock.until(cluster.apps.get(id)!.drain());
    const read = [];
    for (let i = 0; i < 5; i++) read.push((await changes.next()).value);
    const told = read.map(({ type, node }) => `${type} ${node.id}`);
    assertEquals(told, ["join c", "update b", "update a", "leave b", "leave c"]);
    assertEquals(read[0].node, latest);
    await changes.return!();
  });
});
