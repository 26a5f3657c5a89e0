/**
 * Tests of records whose processes do not answer: they make no members and no candidates, and the numbers of pings
 * and records are limited.
 */
import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { describe, it } from "node:test";
import { catga } from "../../catga.ts";
import { command, query } from "../../contract/declaration/definition.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { CatgaError } from "../../error.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { BUCKET, follow, MemoryCluster as Cluster, Who } from "../../../test/support/memory_cluster.ts";
import { openStage, Player } from "../../../test/support/stage.ts";
import { MAX_MEMBERS } from "./membership.ts";
import { readRecord } from "./node_record.ts";
import { BURST, MAX_UNPROVEN, RATE, Unproven } from "./unproven.ts";

const Ask = query<number, string>("Ask");
const Do = command<number, string>("Do");

/** Writes records of nodes that do not exist. */
async function forge(network: MemoryNetwork, ids: readonly string[], handles: readonly string[] = ["Who"]) {
  const bucket = await network.store.open(BUCKET);
  await Promise.all(
    ids.map((id) => {
      const player = { ...JSON.parse(SHAPE), id, endpoint: `${id}.forged`, handles };
      return bucket.put(id, JSON.stringify(player), { ttl: 30_000 });
    }),
  );
}

const SHAPE = JSON.stringify({
  service: "app",
  startedAt: 1,
  lastSeen: 1,
  metadata: {},
  load: { inFlight: 0, queued: 0 },
  server: "",
  protocol: 1,
  version: "0.0.0",
});

/** Counts the pings to nodes whose ids begin with this prefix. */
function countPings(network: MemoryNetwork, prefix: string): { count: number } {
  const pings = { count: 0 };
  const connect = network.connect.bind(network);
  network.connect = (options) => {
    const transport = connect(options);
    const publish = transport.publish.bind(transport);
    transport.publish = (subject, data, more) => {
      if (subject.startsWith(`catga.default.node.${prefix}`) && String(data).includes('["p",')) pings.count++;
      publish(subject, data, more);
    };
    return transport;
  };
  return pings;
}

describe("a record whose process does not answer", () => {
  it("makes no member, no join event and no candidate: the request goes to the node that is there", async () => {
    await using cluster = await Cluster.of("a", "b");
    const a = cluster.apps.get("a")!;
    const changes = follow(a.watchNodes());
    await forge(cluster.network, ["x1", "x2", "x3"]);
    await cluster.clock.advance(500);
    assertEquals(cluster.views(), ["a b", "a b"]);
    assertEquals(changes.events, []);
    const answers = await cluster.clock.until(a.sendAll(Who, Array.from({ length: 20 }, () => undefined)));
    assertEquals(new Set(answers.map(({ value }) => value)), new Set(["a", "b"]));
    assertEquals((await cluster.clock.until(a.broadcast(Who))).map(({ node }) => node), ["a", "b"]);
    assertEquals(cluster.log.filter((line) => line.includes("x1")), []);
  });

  it("is pinged in vain while a connection of the user's drains: no error is thrown into the process", async () => {
    await using cluster = await Cluster.of("a");
    const connect = cluster.network.connect.bind(cluster.network);
    let refused = 0;
    cluster.network.connect = (options) => {
      const transport = connect(options);
      const publish = transport.publish.bind(transport);
      // publishing fails with CLOSED while the status is still "connected", as with NATS during a drain
      transport.publish = (subject, data, more) => {
        if (!subject.startsWith("catga.default.node.x1.")) return publish(subject, data, more);
        refused++;
        throw new CatgaError("CLOSED", "the connection to NATS is closed");
      };
      return transport;
    };
    await cluster.start("b");
    await forge(cluster.network, ["x1"]);
    await cluster.clock.advance(1_000);
    assertGreater(refused, 1);
    assertEquals(cluster.views(), ["a b", "a b"]);
  });

  it("is removed after two bounces a second apart, on a lone server", async () => {
    await using cluster = await Cluster.of("a", "b");
    await cluster.clock.advance(5_000); // 5 s are enough for the grace after a reconnect to end
    await forge(cluster.network, ["x1"]);
    await cluster.clock.advance(2_500);
    assertEquals(await cluster.record("x1"), undefined);
  });

  it("under the id of a live node: that one stays a candidate, writes its record again, and does not stop", async () => {
    await using cluster = await Cluster.of("a", "b");
    const [a, b] = ["a", "b"].map((id) => cluster.apps.get(id)!);
    const { endpoint } = b.self;
    for (let round = 0; round < 5; round++) {
      await forge(cluster.network, ["b"]);
      const answer = await cluster.clock.until(a.send(Who, undefined, { node: "b" }));
      assertEquals(answer.value, "b");
      await cluster.clock.advance(100);
    }
    assertEquals([cluster.views(), b.health().live], [["a b", "a b"], true]);
    assertEquals(JSON.parse((await cluster.record("b"))!).endpoint, endpoint);
  });

  it("a node that joins is a member at its first answer, before any time passes", async () => {
    await using cluster = await Cluster.of("a");
    const before = cluster.clock.monotonic();
    await cluster.start("b");
    assertEquals([cluster.views(), cluster.clock.monotonic()], [["a b", "a b"], before]);
  });

  it("a node whose first pings bounce, as on a server that does not route to it yet, is a member some ms later", async () => {
    await using stage = await openStage();
    const { app, clock, network } = stage;
    const late = new Player(network, "late", "1");
    network.cut("late");
    await forge(network, [], []);
    const bucket = await network.store.open(BUCKET);
    await bucket.put("late", late.record(["Ask"]), { ttl: 30_000 });
    await clock.advance(10);
    assertEquals(app.nodes().map(({ id }) => id), ["node", "other"]);
    network.restore("late");
    await clock.advance(60);
    assertEquals(app.nodes().map(({ id }) => id), ["late", "node", "other"]);
  });

  it("a request waits for the first answer of the only node that handles it", async () => {
    await using stage = await openStage();
    const { app, clock, network } = stage;
    const silent = new Player(network, "silent", "1");
    silent.pongs = false;
    silent.answerWith(() => "done");
    await silent.register(["Do"]);
    const sent = app.send(Do, 1);
    await clock.advance(100);
    assertEquals(silent.frames.length, 0);
    // any frame proves that the process is alive
    silent.send(app.self.endpoint, ["p", 1]);
    assertEquals((await clock.until(sent, 300)).value, "done");
    assertEquals((await clock.until(app.send(Ask, 1))).error?.code, "NO_HANDLER");
  });
});

describe("20,000 forged records", { timeout: 300_000 }, () => {
  const ids = Array.from({ length: 20_000 }, (_, n) => `x${n}`);

  it("change no view, and are one line in the log; a node that joins after them sees the others, and they see it, within 100 ms", async () => {
    await using cluster = await Cluster.of("a", "b");
    await forge(cluster.network, ids);
    // the records of a and b are the oldest; c keeps only the newest records
    await cluster.start("c");
    await cluster.clock.advance(100);
    assertEquals(cluster.views(), ["a b c", "a b c", "a b c"]);
    await cluster.start("d");
    await cluster.clock.advance(100);
    assertEquals(new Set(cluster.views()), new Set(["a b c d"]));
    const lines = cluster.log.filter((line) => /^catga a: passed over \d+ record\(s\) of nodes/.test(line));
    assertEquals(lines.length, 1, cluster.log.slice(0, 20).join("\n"));
    assertEquals(cluster.log.filter((line) => line.includes("node x")), []);
  });

  it("cause a bounded number of pings, whatever their number is", async () => {
    const cluster = new Cluster();
    const pings = countPings(cluster.network, "x");
    await cluster.start("a");
    await forge(cluster.network, ids);
    await cluster.clock.advance(10_000);
    assertGreater(pings.count, BURST);
    assertLessOrEqual(pings.count, BURST + 11 * RATE);
    await cluster[Symbol.asyncDispose]();
  });
});

describe("Unproven", () => {
  const info = (id: string, endpoint = `${id}.1`) =>
    readRecord(id, JSON.stringify({ ...JSON.parse(SHAPE), id, endpoint, handles: [] })) as NodeInfo;

  /** Makes an `Unproven` whose pings are recorded. */
  function make() {
    const clock = new VirtualClock();
    const pinged: string[] = [];
    const gone: string[] = [];
    const options = { connected: true, dropped: 0 };
    const unproven = new Unproven({
      clock,
      connected: () => options.connected,
      ping: (endpoint, n) => pinged.push(`${endpoint} ${n}`),
      conclusive: () => true,
      gone: ({ id }) => gone.push(id),
      dropped: () => options.dropped++,
    });
    return { clock, pinged, gone, options, unproven };
  }

  it("keeps MAX_UNPROVEN records and drops the oldest", () => {
    const { unproven, options } = make();
    for (let n = 0; n < MAX_UNPROVEN + 10; n++) unproven.put(info(`x${n}`), n + 1);
    assertEquals([unproven.size, options.dropped], [MAX_UNPROVEN, 10]);
    assertEquals(unproven.prove("x9.1"), undefined);
    assertEquals(unproven.prove("x10.1")?.revision, 11);
  });

  it("keeps one record of a node that writes its record over and over", () => {
    const { unproven, options } = make();
    unproven.put(info("first"), 1);
    for (let n = 0; n < 5 * MAX_UNPROVEN; n++) unproven.put(info("again", `again.${n}`), n + 2);
    assertEquals([unproven.size, options.dropped], [2, 0]);
    assertEquals(unproven.prove(`again.${5 * MAX_UNPROVEN - 1}`)?.revision, 5 * MAX_UNPROVEN + 1);
    assertEquals(unproven.prove("first.1")?.revision, 1);
  });

  it("pings the newest first, each again after 20, 40, 80 … ms and then once a second, until it is proven", async () => {
    const { unproven, clock, pinged } = make();
    unproven.put(info("a"), 1);
    unproven.put(info("b"), 2);
    assertEquals(pinged, ["a.1 1", "b.1 1"]);
    for (let n = 0; n < 2_000; n++) unproven.put(info(`x${n}`), n + 3);
    assert(pinged.length <= 256, `${pinged.length} pings before the listing was over`);
    const listed = unproven.listed(250);
    assertEquals([pinged.length, pinged[256]], [BURST, "x1999.1 1"]);
    for (let n = 0; n < 2_000; n++) unproven.delete(`x${n}`);
    unproven.bounced("b.1");
    unproven.bounced("a.1");
    await listed;
    unproven.prove("b.1");
    pinged.length = 0;
    await clock.advance(1_400);
    assertEquals(pinged, ["a.1 2", "a.1 3", "a.1 4", "a.1 5", "a.1 6", "a.1 7"]);
    await clock.advance(10_000);
    assertEquals(pinged.length, 16);
    assert(unproven.prove("a.1") !== undefined);
    await clock.advance(10_000);
    assertEquals(pinged.length, 16);
    assertEquals(clock.timers, 0);
  });

  it("a silent node delays a start by the limit, and no longer", async () => {
    const { unproven, clock } = make();
    unproven.put(info("a"), 1);
    const began = clock.monotonic();
    await clock.until(unproven.listed(250));
    assertEquals(clock.monotonic() - began, 250);
    unproven.stop();
  });

  it("records that were pinged before get a share of the pings while new ones keep coming", async () => {
    const { unproven, clock, pinged } = make();
    await unproven.listed(0);
    unproven.put(info("real"), 1);
    for (let n = 0; n < 3_000; n++) unproven.put(info(`x${n}`), n + 2);
    pinged.length = 0;
    for (let round = 0; round < 20; round++) {
      await clock.advance(20);
      for (let n = 0; n < 100; n++) unproven.put(info(`y${round}.${n}`.replace(".", "-")), 10_000 + round * 100 + n);
    }
    assert(pinged.some((ping) => ping.startsWith("real.1 ")), `${pinged.length} pings`);
    unproven.stop();
  });

  it("a newer revision replaces the record of an id, an older one does not", () => {
    const { unproven } = make();
    unproven.put(info("a", "a.1"), 5);
    unproven.put(info("a", "a.2"), 6);
    unproven.put(info("a", "a.1"), 5);
    assertEquals([unproven.size, unproven.prove("a.1"), unproven.prove("a.2")?.revision], [1, undefined, 6]);
  });

  it("two bounces a second apart show that nobody is there", () => {
    const { unproven, clock, gone } = make();
    unproven.put(info("a"), 1);
    unproven.bounced("a.1");
    unproven.bounced("a.1");
    assertEquals(gone, []);
    return clock.advance(1_000).then(() => {
      unproven.bounced("a.1");
      assertEquals(gone, ["a"]);
    });
  });
});

describe("a view that is full", { timeout: 300_000 }, () => {
  it("takes no more nodes, logs that, and keeps those that it has", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const log: string[] = [];
    const logger = { debug() {}, info() {}, warn: (line: string) => void log.push(line), error() {} };
    const app = await catga({ network, id: "first", logger });
    // one connection that answers the pings to all of these nodes
    const crowd = network.connect({ name: "crowd" });
    crowd.subscribe("catga.default.node.m.>", {}, () => {});
    const answer = (subject: string) => {
      const [, , , id, nonce, ...sender] = subject.split(".");
      crowd.publish(`catga.default.node.${sender.join(".")}.${id}.${nonce}`, `[1,1,${clock.now()},["o",1,1,[],[0,0]]]`);
    };
    crowd.subscribe("catga.default.node.*.forged.>", {}, ({ subject }) => answer(subject));
    const ids = Array.from({ length: MAX_MEMBERS + 100 }, (_, n) => `m${n}`);
    for (let n = 0; n < ids.length; n += 500) {
      await forge(network, ids.slice(n, n + 500));
      await clock.advance(2_000);
    }
    const nodes = app.nodes();
    assertEquals(nodes.length, MAX_MEMBERS);
    assert(nodes.some(({ id }) => id === "first"));
    assertGreater(
      log.filter((line) => /passed over \d+ node\(s\): the view is full/.test(line)).length,
      0,
      log.join("\n"),
    );
    await clock.until(app.drain());
  });
});
