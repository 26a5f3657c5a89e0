/** The membership when the store is away, servers disagree, processes freeze and clocks jump: on virtual time. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Clock } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import { type MemoryConnection, MemoryNetwork } from "../../memory/network.ts";
import { BUCKET, follow, MemoryCluster as Cluster, Who } from "../../../test/support/memory_cluster.ts";
import { Player } from "../../../test/support/stage.ts";
import { StoreOutage } from "../../../test/support/store_outage.ts";

const HEARTBEAT = 9_000;

describe("a store that is away", () => {
  it("for a minute: nobody is forgotten, nobody hears of it, and new nodes join when it is back", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster, outage, events } = stage;
    outage.begin();
    await cluster.clock.advance(60_000);
    outage.end(); // now everybody is told that all records have expired
    await cluster.clock.advance(10_000);
    assertEquals([cluster.views(), stage.moves()], [["a b c", "a b c", "a b c"], []]);
    for (const id of ["a", "b", "c"]) assert(await cluster.record(id) !== undefined);
    assert(events.length > 0, "the records were written again");
    await cluster.start("d", { heartbeat: HEARTBEAT });
    assertEquals(new Set(cluster.views()), new Set(["a b c d"]));
  });

  it("records are written again within about a second after it is back, not at the next beat", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster, outage } = stage;
    outage.begin();
    await cluster.clock.advance(60_000);
    outage.end();
    await cluster.clock.advance(1_100);
    for (const id of ["a", "b", "c"]) assert(await cluster.record(id) !== undefined);
  });

  it("a record that could not be written is when the store is back, long before the next beat", async () => {
    await using cluster = new Cluster();
    const outage = new StoreOutage(cluster.network);
    const a = await cluster.start("a", { heartbeat: 60_000 });
    outage.begin();
    await cluster.clock.advance(25_500); // the beat at 20 s gave up at 25
    outage.end();
    await cluster.clock.advance(600);
    const { lastSeen } = JSON.parse((await cluster.record("a"))!) as { lastSeen: number };
    assertEquals(lastSeen, a.self.startedAt + 26_000);
  });

  it("while no record can be written, who answers pings stays; who is killed leaves in 1.1 s", async () => {
    await using stage = await open("a", "b", "c", "d");
    const { cluster, outage } = stage;
    await lapse(stage);
    await cluster.clock.advance(120_000);
    assertEquals([new Set(cluster.views()), stage.moves()], [new Set(["a b c d"]), []]);
    cluster.kill("b");
    await cluster.clock.advance(1_100);
    assertEquals(new Set(cluster.views()), new Set(["a c d"]));
    outage.end();
    await cluster.clock.advance(20_000);
    assertEquals([new Set(cluster.views()), stage.moves()], [new Set(["a c d"]), ["leave b"]]);
  });

  it("who is frozen without a record leaves in 1.6 s, and is back when it goes on, before its record is", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster, outage } = stage;
    await lapse(stage);
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

  it("each node pings each whose record is gone once a second, and no more", async () => {
    await using stage = await open("a", "b", "c", "d");
    await lapse(stage);
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
    await lapse(stage);
    await cluster.clock.until(cluster.apps.get("b")!.drain(), 30_000);
    cluster.apps.delete("b");
    await cluster.clock.advance(1_100);
    assertEquals(cluster.views(), ["a c", "a c"]);
    stage.outage.end();
  });

  it("records that expire too early are nobody's end", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster } = stage;
    cluster.network.faults = { earlyExpiry: 0.5 };
    await cluster.clock.advance(120_000);
    cluster.network.heal();
    assertEquals([cluster.views(), stage.moves()], [["a b c", "a b c", "a b c"], []]);
  });
});

describe("a node that is frozen", () => {
  it("leaves half a second after its record has expired, and blames nobody when it goes on", async () => {
    await using stage = await open("a", "c");
    const { cluster } = stage;
    await cluster.clock.advance(300); // between two rounds of the ring
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

  it("without the records of the others blames none of them for its own silence when it goes on", async () => {
    await using stage = await open("a", "b", "c");
    const { cluster } = stage;
    const changes = follow(cluster.apps.get("b")!.watchNodes());
    await lapse(stage);
    for (let i = 0; i < 10; i++) { // its timers come first, or its messages: that is left to chance
      cluster.network.pause("c");
      await cluster.clock.advance(1_000);
      cluster.network.pause("b"); // it has just asked
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

describe("on several servers", () => {
  it("a killed node is gone from every view in 5 s, though its record would live for half a minute", async () => {
    for (const dead of ["a", "b", "c", "d"]) {
      await using cluster = await spread(3, "a", "b", "c", "d");
      cluster.kill(dead);
      await cluster.clock.advance(3_000);
      assertEquals(cluster.views()[0].length, 7, `${dead} was buried before it could have moved`);
      await cluster.clock.advance(2_000);
      assertEquals(new Set(cluster.views()), new Set([[..."abcd"].filter((id) => id !== dead).join(" ")]), dead);
    }
  });

  it("two killed at once, each on a server of its own, are gone in 8 s", async () => {
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

  it("a live node that bounces on one server from its start is no member there until it is reached; its record stays", async () => {
    await using cluster = new Cluster({ servers: 3 });
    const route = divide(cluster.network, "a", "b");
    route.cut = true;
    for (const id of ["a", "b", "c"]) await cluster.start(id);
    await cluster.clock.advance(120_000);
    // nor is the one that it cannot answer
    assertEquals(cluster.views(), ["a c", "b c", "a b c"]);
    route.cut = false;
    await cluster.clock.advance(1_100);
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
  });

  it("one that bounced for a while is trusted a second later, also where it is no successor", async () => {
    await using cluster = new Cluster({ servers: 3 });
    const route = divide(cluster.network, "d", "b");
    for (const id of ["a", "b", "c", "d"]) await cluster.start(id);
    const d = cluster.apps.get("d")!;
    await cluster.clock.advance(200); // its record will not be written again for a while
    route.cut = true;
    await cluster.clock.until(d.send(Who, undefined, { node: "b", timeout: 500 }));
    assert(cluster.log.includes("catga d: node b: suspect"), cluster.log.join("\n"));
    route.cut = false;
    await cluster.clock.advance(1_100);
    assert(cluster.log.includes("catga d: node b: alive"), cluster.log.join("\n"));
  });

  it("what nodes on one server say is no second opinion", async () => {
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

  it("a node that needs 2.5 s to move to another server is not buried, and never left", async () => {
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

  it("with all nodes on one of them that server's word is enough", async () => {
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

  it("with nobody else to ask, and the dead one on another server, its record has to expire", async () => {
    await using cluster = new Cluster({ servers: 2 });
    for (const id of ["a", "b"]) await cluster.start(id, { heartbeat: HEARTBEAT });
    cluster.kill("b");
    await cluster.clock.advance(5_500);
    assertEquals(cluster.views(), ["a b"]);
    await cluster.clock.advance(HEARTBEAT - 5_500);
    assertEquals(cluster.views(), ["a"]);
  });

  it("whoever says that a live node bounces has no effect, nor does nonsense", async () => {
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

  it("under false bounces for two minutes nobody stays away", async () => {
    await using cluster = await spread(3, "a", "b", "c", "d");
    cluster.network.faults = { falseBounce: 0.4 };
    await cluster.clock.advance(120_000);
    cluster.network.heal();
    await cluster.clock.advance(100);
    assertEquals(new Set(cluster.views()), new Set(["a b c d"]));
  });
});

describe("a wall clock that jumps", () => {
  for (const jump of [3_600_000, -3_600_000]) {
    it(`by ${jump / 3_600_000} h: nobody leaves, nothing expires early, and only lastSeen shows it`, async () => {
      const cluster = new Cluster();
      const clock = new JumpingClock(cluster.clock);
      const network = new MemoryNetwork({ clock, seed: 7 });
      for (const id of ["a", "b", "c"]) await cluster.start(id, { network, heartbeat: HEARTBEAT });
      const a = cluster.apps.get("a")!;
      const changes = follow(a.watchNodes());
      const before = a.nodes()[1].lastSeen;
      clock.ahead = jump;
      await cluster.clock.advance(30_000);
      assertEquals([new Set(cluster.views()), a.nodes()[1].lastSeen], [new Set(["a b c"]), before + 30_000 + jump]);
      clock.ahead = 0;
      await cluster.clock.advance(30_000);
      assertEquals([new Set(cluster.views()), a.nodes()[1].lastSeen], [new Set(["a b c"]), before + 60_000]);
      assertEquals(changes.events.filter((event) => !event.startsWith("update")), []);
      assert(!cluster.log.some((line) => line.includes("suspect")), cluster.log.join("\n"));
      assertEquals((await cluster.clock.until(a.send(Who, undefined, { node: "c", timeout: 50 }))).value, "c");
      clock.ahead = jump; // and the dead are found as ever
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

/** A cluster whose store can go away, and what the first node's watchers are told but for updates. */
interface StoreStage extends AsyncDisposable {
  readonly cluster: Cluster;
  readonly outage: StoreOutage;
  readonly events: readonly string[];
  /** The joins and leaves that the first node has told of. */
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

/** All records are gone, everybody is told so, and nobody can write: JetStream that has just come back, without a leader. */
async function lapse({ cluster, outage }: StoreStage): Promise<void> {
  outage.begin();
  await cluster.clock.advance(HEARTBEAT + 1_000);
  outage.watch();
  await cluster.clock.advance(10);
  assertEquals(await (await cluster.network.store.open(BUCKET)).entries(""), []);
}

/** Nodes on servers in turn. */
async function spread(servers: number, ...ids: string[]): Promise<Cluster> {
  const cluster = new Cluster({ servers });
  for (const id of ids) await cluster.start(id);
  assertEquals(new Set([...cluster.apps.values()].map(({ self }) => self.server)).size, Math.min(servers, ids.length));
  return cluster;
}

/** While it is cut, frames between these two apps, which connect from now on, bounce. */
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

/** A clock whose wall time is set by hand. */
class JumpingClock implements Clock {
  /** How far the wall clock is ahead, in ms. */
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
