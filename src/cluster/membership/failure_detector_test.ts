/**
 * Tests of the failure detector: what follows the death, the silence or the cut of a node, on one server and on
 * several, on virtual time.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CatgaError } from "../../error.ts";
import type { MemoryConnection, MemoryNetwork } from "../../memory/network.ts";
import { follow, MemoryCluster as Cluster, Who } from "../../../test/support/memory_cluster.ts";
import { openStage, Player } from "../../../test/support/stage.ts";

const HEARTBEAT = 9_000;

describe("a node that dies", () => {
  it("is a suspect at the first bounce, and leaves every view at the second, a second later", async () => {
    await using cluster = await Cluster.of("a", "b", "c");
    cluster.kill("b");
    await cluster.clock.advance(1_050);
    assert(cluster.log.includes("catga a: node b: suspect"), cluster.log.join("\n"));
    assertEquals(cluster.views(), ["a b c", "a b c"]);
    await cluster.clock.advance(1_950);
    assertEquals([cluster.views(), await cluster.record("b")], [["a c", "a c"], undefined]);
    assertEquals(cluster.log.filter((line) => /node b: (leave|lost)/.test(line)).sort(), [
      "catga a: node b: lost",
      "catga c: node b: lost",
    ]);
  });

  it("three at once leave in 6 s, wherever they stand in the ring", async () => {
    for (const dead of [["b", "c", "d"], ["a", "b", "f"], ["a", "c", "e"], ["d", "e", "f"]]) {
      await using cluster = await Cluster.of("a", "b", "c", "d", "e", "f");
      dead.forEach((id) => cluster.kill(id));
      await cluster.clock.advance(6_000);
      const left = [..."abcdef"].filter((id) => !dead.includes(id)).join(" ");
      assertEquals(cluster.views(), [left, left, left], dead.join());
    }
  });

  it("when all but one die, the last sees itself alone", async () => {
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

  it("costs an idle node less than 1.5 timers a second among others, 0.5 alone", async () => {
    for (const [ids, most] of [[["a"], 0.5], [["a", "b", "c"], 1.5]] as const) {
      await using cluster = await Cluster.of(...ids);
      // wait 20 s, until all work that follows the joins of the nodes has ended
      await cluster.clock.advance(20_000);
      const { clock } = cluster;
      const after = clock.after.bind(clock);
      let fired = 0;
      clock.after = (ms, callback, options) =>
        after(ms, () => {
          fired++;
          callback();
        }, options);
      await clock.advance(60_000);
      const rate = fired / 60 / ids.length;
      assert(rate < most, `${ids.length} nodes: ${rate} timers a second each`);
    }
  });

  it("stays after one bounce, though it was silent before", async () => {
    await using stage = await openStage();
    const { other, clock, network, app } = stage;
    other.pongs = false;
    await clock.advance(4_500);
    assert(stage.log.some((line) => line.endsWith("node other: suspect")), stage.log.join("\n"));
    network.cut("other");
    await clock.advance(1_000); // one ping bounces in this time
    assertEquals(app.nodes().map(({ id }) => id), ["node", "other"]);
    await clock.advance(1_000); // a second ping bounces in this time
    assertEquals(app.nodes().map(({ id }) => id), ["node"]);
  });
});

describe("a node that is silent", () => {
  it("is a suspect, stays in the view until its record expires, and is trusted when it answers again", async () => {
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
    assertEquals(cluster.log.filter((line) => /node b: (leave|lost)/.test(line)), ["catga a: node b: lost"]);
    cluster.network.resume("b");
    await cluster.clock.advance(3_500);
    assertEquals(cluster.views(), ["a b", "a b"]);
  });
});

describe("a node that is cut off", () => {
  it("keeps its view, leaves that of the others, and is back at once when it is restored", async () => {
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

  it("like all others, keeps its view, and all are back when they are restored", async () => {
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

describe("on several servers", () => {
  it("a killed node leaves every view in 5 s, though its record would live for half a minute", async () => {
    for (const dead of ["a", "b", "c", "d"]) {
      await using cluster = await spread(3, "a", "b", "c", "d");
      cluster.kill(dead);
      await cluster.clock.advance(3_000);
      assertEquals(cluster.views()[0].length, 7, `${dead} left before it could have moved`);
      await cluster.clock.advance(2_000);
      assertEquals(new Set(cluster.views()), new Set([[..."abcd"].filter((id) => id !== dead).join(" ")]), dead);
      assertEquals(cluster.log.filter((line) => line.endsWith(`: node ${dead}: lost`)).length, 3, dead);
    }
  });

  it("two killed at once, each on a server of its own, leave in 8 s", async () => {
    await using cluster = await spread(3, "a", "b", "c", "d", "e", "f");
    cluster.kill("b");
    cluster.kill("c");
    await cluster.clock.advance(8_000);
    assertEquals(new Set(cluster.views()), new Set(["a d e f"]));
  });

  it("a live node that bounces on one server only stays: the others see it", async () => {
    const cluster = new Cluster({ servers: 3 });
    const route = divide(cluster.network, "a", "b");
    for (const id of ["a", "b", "c"]) await cluster.start(id);
    route.cut = true;
    const changes = follow(cluster.apps.get("c")!.watchNodes());
    await cluster.clock.advance(120_000);
    assert(cluster.log.includes("catga a: node b: suspect"), cluster.log.join("\n"));
    assertEquals(new Set(cluster.views()), new Set(["a b c"]));
    assertEquals(changes.events.filter((event) => !event.startsWith("update")), []);
    await cluster[Symbol.asyncDispose]();
  });

  it("a live node that bounces on one server from its start is no member there until it answers; its record stays", async () => {
    await using cluster = new Cluster({ servers: 3 });
    const route = divide(cluster.network, "a", "b");
    route.cut = true;
    for (const id of ["a", "b", "c"]) await cluster.start(id);
    await cluster.clock.advance(120_000);
    // node b is not a member in the view of node a either, because node a gets no answers to its pings to node b
    assertEquals(cluster.views(), ["a c", "b c", "a b c"]);
    route.cut = false;
    await cluster.clock.advance(1_100);
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
  });

  it("a node that bounced for a while is trusted a second after it can be reached, also by nodes whose successor it is not", async () => {
    await using cluster = new Cluster({ servers: 3 });
    const route = divide(cluster.network, "d", "b");
    for (const id of ["a", "b", "c", "d"]) await cluster.start(id);
    const d = cluster.apps.get("d")!;
    await cluster.clock.advance(200); // 200 ms after the start, the record of d will not be written again for a while
    route.cut = true;
    await cluster.clock.until(d.send(Who, undefined, { node: "b", timeout: 500 }));
    assert(cluster.log.includes("catga d: node b: suspect"), cluster.log.join("\n"));
    route.cut = false;
    await cluster.clock.advance(1_100);
    assert(cluster.log.includes("catga d: node b: alive"), cluster.log.join("\n"));
  });

  it("an accusation from this node's own server is ignored", async () => {
    await using cluster = await spread(3, "a", "b", "c");
    const [a, b] = ["a", "b"].map((id) => cluster.apps.get(id)!.self);
    const player = new Player(cluster.network, "x");
    cluster.kill("b");
    await cluster.clock.advance(100);
    player.send(a.endpoint, ["b", b.endpoint, a.server]);
    await cluster.clock.advance(100);
    assertEquals(cluster.views(), ["a b c", "a b c"]);
    player.send(a.endpoint, ["b", b.endpoint, "another"]);
    await cluster.clock.advance(100);
    assertEquals(cluster.views(), ["a c", "a c"]);
  });

  it("a node that needs 2.5 s to move to another server stays in every view", async () => {
    await using cluster = await spread(3, "a", "b", "c");
    const changes = follow(cluster.apps.get("c")!.watchNodes());
    const before = cluster.apps.get("b")!.self.server;
    cluster.network.cut("b");
    await cluster.clock.advance(2_500);
    cluster.network.restore("b");
    await cluster.clock.advance(20_000);
    assert(cluster.apps.get("b")!.self.server !== before);
    assertEquals(new Set(cluster.views()), new Set(["a b c"]));
    assertEquals(changes.events.filter((event) => !event.startsWith("update")), []);
  });

  it("the id of a node that is moving is not taken over; that of a dead one is, 2 s later", async () => {
    await using cluster = new Cluster({ servers: 3 });
    const connect = cluster.network.connect.bind(cluster.network);
    const connections: MemoryConnection[] = [];
    cluster.network.connect = (options) => {
      const connection = connect(options);
      connections.push(connection);
      return connection;
    };
    for (const id of ["a", "b", "c"]) await cluster.start(id);
    const [b, c] = ["b", "c"].map((id) => cluster.apps.get(id)!);
    cluster.network.cut("b");
    cluster.clock.after(1_700, () => connections[1].restore());
    const error = await assertRejects(() => cluster.start("b"), CatgaError, "which is alive");
    assertEquals(error.code, "ID_TAKEN");
    assertEquals(cluster.apps.get("b"), b);
    assertEquals((await cluster.clock.until(c.send(Who, undefined, { node: "b" }), 1_000)).value, "b");
    cluster.kill("c");
    const before = cluster.clock.monotonic();
    await cluster.start("c");
    assertEquals(cluster.clock.monotonic() - before, 2_000);
    assertEquals(new Set(cluster.views()), new Set(["a b c"]));
  });

  it("with all nodes on one server, bounces on that server are enough", async () => {
    const cluster = new Cluster({ servers: 3 });
    for (const id of ["a", "b", "c"]) {
      await cluster.start(id);
      for (let i = 0; i < 2; i++) await cluster.network.connect().close();
    }
    assertEquals(new Set([...cluster.apps.values()].map(({ self }) => self.server)).size, 1);
    cluster.kill("b");
    await cluster.clock.advance(5_000);
    assertEquals(new Set(cluster.views()), new Set(["a c"]));
    await cluster[Symbol.asyncDispose]();
  });

  it("without a node on another server to ask, and the dead one on another server, its record has to expire", async () => {
    await using cluster = new Cluster({ servers: 2 });
    for (const id of ["a", "b"]) await cluster.start(id, { heartbeat: HEARTBEAT });
    cluster.kill("b");
    await cluster.clock.advance(5_500);
    assertEquals(cluster.views(), ["a b"]);
    await cluster.clock.advance(HEARTBEAT - 5_500);
    assertEquals(cluster.views(), ["a"]);
  });

  it("an accusation of a live node has no effect, nor has a malformed one", async () => {
    await using cluster = await spread(3, "a", "b", "c");
    const player = new Player(cluster.network, "x");
    const { a, b } = Object.fromEntries([...cluster.apps].map(([id, app]) => [id, app.self]));
    for (const server of ["elsewhere", a.server, ""]) {
      for (const endpoint of [b.endpoint, a.endpoint, "nobody.1", player.endpoint]) {
        player.send(a.endpoint, ["b", endpoint, server]);
      }
    }
    for (const item of [["b"], ["b", "b"], ["b", 1, 2], ["b", b.endpoint], ["b", b.endpoint, null]]) {
      player.send(a.endpoint, item);
    }
    await cluster.clock.advance(10_000);
    assertEquals(new Set(cluster.views()), new Set(["a b c"]));
    assert(!cluster.log.some((line) => line.includes("suspect") || line.includes("leave")), cluster.log.join("\n"));
  });

  it("after two minutes of false bounces all nodes are members", async () => {
    await using cluster = await spread(3, "a", "b", "c", "d");
    cluster.network.faults = { falseBounce: 0.4 };
    await cluster.clock.advance(120_000);
    cluster.network.heal();
    await cluster.clock.advance(100);
    assertEquals(new Set(cluster.views()), new Set(["a b c d"]));
  });
});

/**
 * Starts nodes and connects them to the servers in turn: the first node to the first server, the second node to the
 * second server, and so on.
 */
async function spread(servers: number, ...ids: string[]): Promise<Cluster> {
  const cluster = new Cluster({ servers });
  for (const id of ids) await cluster.start(id);
  assertEquals(new Set([...cluster.apps.values()].map(({ self }) => self.server)).size, Math.min(servers, ids.length));
  return cluster;
}

/**
 * Connections that these two apps make after this call are cut off from each other while `cut` is true: frames between
 * the two apps then bounce.
 */
function divide(network: MemoryNetwork, one: string, two: string): { cut: boolean } {
  const route = { cut: false };
  const connect = network.connect.bind(network);
  network.connect = (options) => {
    const connection = connect(options);
    const other = options?.name === one ? two : options?.name === two ? one : undefined;
    const publish = connection.publish.bind(connection);
    const bounces = (subject: string) => route.cut && subject.startsWith(`catga.default.node.${other}.`);
    connection.publish = (subject, ...more) => publish(bounces(subject) ? "nobody" : subject, ...more);
    return connection;
  };
  return route;
}
