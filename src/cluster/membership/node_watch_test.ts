/** Tests of `app.watchNodes()`: the changes that it yields, and when it ends. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { follow, MemoryCluster as Cluster } from "../../../test/support/memory_cluster.ts";

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
