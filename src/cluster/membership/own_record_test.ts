/** Tests of a node's own record, when another process has the node's id. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { catga } from "../../catga.ts";
import { CatgaError } from "../../error.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { BUCKET, follow, MemoryCluster as Cluster, Who } from "../../../test/support/memory_cluster.ts";
import { Player } from "../../../test/support/stage.ts";
import { FEW, OwnRecord } from "./own_record.ts";

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

  it("of a frozen process fails after two seconds, and says that it may be frozen", async () => {
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

describe("a record's lifetime", () => {
  /** Returns how many updates of records one node reads in two minutes. */
  async function updates(nodes: number): Promise<number> {
    const ids = Array.from({ length: nodes }, (_, i) => `n${i}`);
    await using cluster = await Cluster.of(...ids);
    await cluster.clock.advance(60_000); // after 60 s every node has written its record with the right number of nodes
    const { events } = follow(cluster.apps.get("n0")!.watchNodes());
    await cluster.clock.advance(120_000);
    assertEquals(cluster.apps.get("n0")!.nodes().length, nodes);
    return events.filter((event) => event.startsWith("update")).length;
  }

  it("grows with the cluster: a node of 200 reads less than half as many updates as one of 32", async () => {
    const few = await updates(FEW);
    assert(Math.abs(few - 12 * FEW) <= FEW, `${few} updates with ${FEW} nodes`);
    const writes = async (nodes: number) => {
      await using record = await lonelyRecord(() => nodes);
      await record.clock.advance(3_600_000);
      return nodes * record.writes.length;
    };
    const read = await writes(FEW);
    for (const [nodes, share] of [[2 * FEW, 0.65], [4 * FEW, 0.5], [200, 0.45]]) {
      const more = await writes(nodes);
      assert(more <= share * read, `${more} updates with ${nodes} nodes, ${read} with ${FEW}`);
    }
  });

  it("is that of the cluster's size after one more write, if the node has joined alone", async () => {
    let nodes = 1;
    await using record = await lonelyRecord(() => nodes);
    nodes = 200;
    await record.clock.advance(14_000);
    assertEquals(record.writes.map(({ ttl }) => ttl), [30_000, 200 / FEW * 30_000]);
    await record.clock.advance(60_000);
    assertEquals(record.writes.length, 2);
  });

  it("of a node that joins a large cluster is that of the cluster's size from the start", async () => {
    let asked = 0;
    // the records of the others are read behind the first write
    await using record = await lonelyRecord(() => asked++ === 0 ? 1 : 200, { others: 200 });
    await record.clock.advance(60_000);
    assertEquals(record.writes.map(({ ttl }) => ttl), [200 / FEW * 30_000]);
  });

  it("falls within 14 s when the bucket had records of many nodes that are gone", async () => {
    await using cluster = new Cluster();
    const bucket = await cluster.network.store.open(BUCKET);
    for (let i = 0; i < 10 * FEW; i++) await bucket.put(`gone${i}`, "garbage", { ttl: 10_000 });
    await cluster.start("a");
    await cluster.start("b");
    await cluster.clock.advance(14_000);
    cluster.network.pause("b");
    await cluster.clock.advance(32_000);
    assertEquals(cluster.apps.get("a")!.nodes().map(({ id }) => id), ["a"]);
    cluster.network.heal();
  });

  it("outlasts a store that is away for half of the heartbeat, whatever the size of the cluster", async () => {
    for (const nodes of [1, FEW, 2 * FEW, 200]) {
      await using record = await lonelyRecord(() => nodes);
      await record.clock.advance(3_600_000);
      const left = record.writes.slice(1).map(({ at }, i) => record.writes[i].at + record.writes[i].ttl - at);
      const least = Math.min(...left);
      assert(left.length > 10 && least >= 16_000, `${nodes} nodes: written ${least} ms before its end`);
    }
  });

  it("ends at another time than those of the nodes that started with it: they are not written together", async () => {
    await using cluster = await Cluster.of(...Array.from({ length: FEW }, (_, i) => `n${i}`));
    const { events } = follow(cluster.apps.get("n0")!.watchNodes());
    let most = 0;
    for (let before = 0, ms = 0; ms < 15_000; ms += 100, before = events.length) {
      await cluster.clock.advance(100);
      most = Math.max(most, events.length - before);
    }
    assert(events.length >= FEW, `${events.length} records were written again`);
    assert(most <= FEW / 4, `${most} of them in 100 ms`);
  });

  it("falls again when nodes have left", async () => {
    const ids = Array.from({ length: 2 * FEW }, (_, i) => `n${i}`);
    await using cluster = await Cluster.of(...ids);
    await cluster.clock.advance(60_000);
    for (const id of ids.slice(2)) {
      await cluster.clock.until(cluster.apps.get(id)!.drain());
      cluster.apps.delete(id);
    }
    await cluster.clock.advance(60_000);
    const { events } = follow(cluster.apps.get("n0")!.watchNodes());
    await cluster.clock.advance(60_000);
    const written = events.filter((event) => event === "update n1").length;
    assert(written >= 5 && written <= 8, `written ${written} times in a minute`);
  });
});

/**
 * Makes the record of a node in a cluster whose number of nodes `nodes` returns, without the other nodes. Returns the
 * writes of the record, each with its time and ttl.
 */
async function lonelyRecord(nodes: () => number, { others = 0 } = {}) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 7 });
  const { store, random } = network.connect();
  const bucket = await clock.until(store.open(BUCKET));
  for (let i = 0; i < others; i++) await clock.until(bucket.put(`other${i}`, "{}"));
  const app = await clock.until(catga({ network, namespace: "elsewhere", id: "a" }));
  const { self } = app;
  const writes: { readonly at: number; readonly ttl: number }[] = [];
  const noted = <T>(written: Promise<T>, ttl: number): Promise<T> => {
    writes.push({ at: clock.monotonic(), ttl });
    return written;
  };
  const { create, update } = bucket;
  bucket.create = (key, value, options) => noted(create.call(bucket, key, value, options), options!.ttl!);
  bucket.update = (key, value, revision, options) =>
    noted(update.call(bucket, key, value, revision, options), options!.ttl!);
  const record = new OwnRecord({
    ...{ bucket, clock, random, heartbeat: 30_000, self: () => self, connected: () => true },
    observer: () => {},
    server: () => ({ id: "s", clustered: false }),
    probe: () => Promise.resolve(undefined),
    evicted: (error) => {
      throw error;
    },
  }, nodes);
  await clock.until(record.register());
  record.keep();
  await clock.until(app.drain());
  const end = async () => {
    await clock.until(record.leave());
  };
  return { clock, writes, [Symbol.asyncDispose]: end };
}
