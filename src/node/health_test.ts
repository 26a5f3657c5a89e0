import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga } from "../catga.ts";
import { command } from "../contract/definition.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { StoreOutage } from "../../test/support/store_outage.ts";

const Wait = command("Wait");

describe("health", () => {
  it("an app in memory is ready until it drains, live until it has stopped, and counts what is in flight", async () => {
    const go = Promise.withResolvers<void>();
    const app = await catga({ id: "n", handlers: Wait.handle(() => go.promise) });
    const alone = { node: "n", connection: "none", queued: 0 } as const;
    const fine = { ...alone, status: "ready", ready: true, live: true, member: true, nodes: 1 } as const;
    assertEquals(app.health(), { ...fine, inFlight: 0 });
    const sent = app.send(Wait);
    assertEquals(app.health(), { ...fine, inFlight: 1 });
    const drained = app.drain();
    const leaving = { ...fine, status: "draining", ready: false, member: false, inFlight: 1 } as const;
    assertEquals(app.health(), leaving);
    go.resolve();
    await Promise.all([sent, drained]);
    const gone = { ...alone, status: "stopped", ready: false, live: false, member: false, nodes: 0 } as const;
    assertEquals(app.health(), { ...gone, inFlight: 0 });
  });

  it("a node counts the other nodes, and their requests that wait", async () => {
    await using cluster = new MemoryCluster();
    const go = Promise.withResolvers<void>();
    const node = await cluster.start("n", { concurrency: 1, handlers: Wait.handle(() => go.promise) });
    const client = await cluster.start("client");
    const sent = client.sendAll(Wait, [undefined, undefined, undefined]);
    await cluster.clock.advance(10);
    const [here, there] = [node.health(), client.health()];
    go.resolve();
    await cluster.clock.until(sent);
    assertEquals([here.connection, here.nodes, here.inFlight, here.queued], ["connected", 2, 1, 2]);
    assertEquals([there.connection, there.nodes, there.inFlight, there.queued], ["connected", 2, 3, 0]);
  });

  it("a node that has lost its connection is disconnected, live, and ready again when it is back", async () => {
    await using cluster = await MemoryCluster.of("a", "b");
    const a = cluster.apps.get("a")!;
    cluster.network.cut("a");
    const { status, ready, live, connection } = a.health();
    assertEquals([status, ready, live, connection], ["disconnected", false, true, "disconnected"]);
    cluster.network.restore("a");
    await cluster.clock.advance(1_000);
    assertEquals(a.health().status, "ready");
  });

  it("a node whose record is gone while the store is away is unlisted until the record is written again", async () => {
    await using cluster = new MemoryCluster();
    const outage = new StoreOutage(cluster.network);
    const a = await cluster.start("a");
    outage.begin();
    await cluster.clock.advance(40_000); // a record lives for 30 s
    assertEquals([a.health().status, a.health().member], ["unlisted", false]);
    outage.end();
    await cluster.clock.advance(10_000);
    assertEquals([a.health().status, a.health().member], ["ready", true]);
  });
});
