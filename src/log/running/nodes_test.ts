/** Tests of messages of the log on the nodes that handle them, with whole apps of one cluster. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, event, fail, type Handlers } from "../../../mod.ts";
import { readRecord, writeRecord } from "../../cluster/membership/node_record.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";

const Placed = event<{ n: number; key: string }>("Placed", { durable: true, key: ({ key }) => key });
const Mail = command<{ to: string }, string>("Mail", { durable: true, idempotent: true });

describe("a durable event", () => {
  it("is handled by an app alone in memory, as is what is published right after catga() resolves", async () => {
    const { promise, resolve } = Promise.withResolvers<{ n: number }>();
    await using app = await catga({ handlers: Placed.on(resolve) });
    assertEquals(await app.publish(Placed, { n: 1, key: "k" }), { ok: true, value: undefined });
    assertEquals((await promise).n, 1);
  });

  it("cannot be broadcast: the error says to publish it", async () => {
    await using app = await catga();
    assertThrows(() => void app.broadcast(Placed, { n: 1, key: "k" }), TypeError, "publish it");
  });

  it("is handled once, in order of its key, by the nodes of a service, which announce it in their records", async () => {
    await using cluster = new MemoryCluster();
    const seen: { node: string; n: number; key: string }[] = [];
    const handlers = Placed.on(({ n, key }, ctx) => void seen.push({ node: ctx.node, n, key }), { name: "billing" });
    for (const id of ["a", "b"]) await cluster.start(id, { service: "shop", handlers });
    const publisher = await cluster.start("p", { service: "web" });
    const { handles, kinds, subscriptions } = publisher.nodes()[0];
    assertEquals([handles, kinds, subscriptions], [["Placed"], "e", ["billing/Placed"]]);
    await Promise.all(Array.from({ length: 500 }, (_, n) => publisher.publish(Placed, { n, key: `k${n % 25}` })));
    await cluster.clock.advance(5_000);
    assertEquals(seen.length, 500);
    assertEquals(new Set(seen.map(({ node }) => node)).size, 2);
    for (let key = 0; key < 25; key++) {
      const numbers = seen.filter((run) => run.key === `k${key}`).map(({ n }) => n);
      assertEquals(numbers, Array.from({ length: 20 }, (_, i) => 25 * i + key));
    }
  });

  it("whose handler fails runs again until it succeeds, with the same position and fence", async () => {
    await using cluster = new MemoryCluster();
    const seen: { attempt: number; position: number | undefined; fenced: boolean }[] = [];
    const handlers = Placed.on((_, ctx) => {
      seen.push({ attempt: ctx.attempt, position: ctx.position, fenced: ctx.fence !== undefined });
      if (ctx.attempt < 3) return fail("LATER", "not yet");
    });
    const app = await cluster.start("a", { handlers });
    await app.publish(Placed, { n: 1, key: "k" });
    await cluster.clock.advance(10_000);
    assertEquals(seen.map(({ attempt }) => attempt), [1, 2, 3]);
    assertEquals(new Set(seen.map(({ position }) => position)).size, 1);
    assert(seen.every(({ position, fenced }) => fenced && Number.isSafeInteger(position)));
  });

  it("names its subscription, whether it runs alone, with others of the subscription, or in a batch", async () => {
    await using cluster = new MemoryCluster();
    const seen: (string | undefined)[] = [];
    const note = (_: unknown, ctx: { readonly subscription: string | undefined }) => void seen.push(ctx.subscription);
    const Clean = command<string>("Clean", { durable: true });
    const together = { name: "together" };
    const app = await cluster.start("a", {
      service: "shop",
      handlers: [
        Placed.on(note, { name: "alone" }),
        ...[Placed.on(note, together), Placed.on(note, together)],
        Placed.onBatch(note, { name: "batch", within: 0 }),
        Placed.on(note, { each: "node" }),
        Clean.handle(note),
      ],
    });
    await app.publish(Placed, { n: 1, key: "k" });
    await app.enqueue(Clean, "it");
    await cluster.clock.advance(10_000);
    const inPair = Array(2).fill("shop/together");
    assertEquals(seen.toSorted(), [undefined, ...inPair, "shop/alone", "shop/batch", "@/Clean"].toSorted());
    assertEquals((await app.send(Clean, "at once")).ok, true);
    assertEquals(seen.at(-1), undefined);
  });

  it("is given to each attempt and handler, and kept as a dead letter, as it was published, whatever they do to it", async () => {
    await using cluster = new MemoryCluster();
    const seen: unknown[] = [];
    const spoil = (payload: { n: unknown; key: string }) => {
      seen.push(payload.n);
      payload.n = 10n;
      throw new Error("no database");
    };
    const settings = { name: "billing", retry: { attempts: 2, delay: [10, 20] } } as const;
    const app = await cluster.start("a", { handlers: [Placed.on(spoil, settings), Placed.on(spoil, settings)] });
    for (const n of [1, 2]) await app.publish(Placed, { n, key: `k${n}` });
    await cluster.clock.advance(10_000);
    assertEquals(seen.toSorted(), [1, 1, 1, 1, 2, 2, 2, 2]);
    const letters: unknown[] = [];
    for await (const { payload } of app.deadLetters()) letters.push(payload);
    assertEquals(letters, [{ n: 1, key: "k1" }, { n: 2, key: "k2" }]);
  });

  it("goes on at another node when its node drains", async () => {
    await using cluster = new MemoryCluster();
    const seen: number[] = [];
    const handlers = Placed.on(({ n }) => void seen.push(n));
    for (const id of ["a", "b"]) await cluster.start(id, { service: "shop", handlers });
    const publisher = await cluster.start("p", { service: "web" });
    const publish = async (n: number) => assertEquals((await publisher.publish(Placed, { n, key: "k" })).ok, true);
    for (let n = 0; n < 10; n++) await cluster.clock.until(publish(n));
    const drained = cluster.apps.get("a")!.drain();
    for (let n = 10; n < 20; n++) await cluster.clock.until(publish(n));
    await cluster.clock.until(drained);
    cluster.apps.delete("a");
    await cluster.clock.advance(5_000);
    assertEquals(seen, Array.from({ length: 20 }, (_, n) => n));
  });
});

describe("a queued command", () => {
  it("runs at a node that handles it, and its recorded result is that of a send with its id", async () => {
    await using cluster = new MemoryCluster();
    let runs = 0;
    const handlers: Handlers = Mail.handle(({ to }) => {
      runs++;
      return `mail to ${to}`;
    });
    await cluster.start("a", { service: "mail", handlers });
    const app = await cluster.start("p", { service: "web" });
    assertEquals(app.nodes()[0].subscriptions, ["@/Mail"]);
    await cluster.clock.until(app.enqueue(Mail, { to: "ann" }, { id: "m1" }));
    await cluster.clock.advance(2_000);
    assertEquals(runs, 1);
    assertEquals((await cluster.clock.until(app.send(Mail, { to: "ann" }, { id: "m1" }))).value, "mail to ann");
    assertEquals(runs, 1);
  });
});

describe("records of nodes", () => {
  it("of Catga 0.1 have no subscriptions: such nodes get no messages of the log, and read the records of those that do", async () => {
    await using cluster = new MemoryCluster();
    const seen: string[] = [];
    const app = await cluster.start("a", {
      service: "shop",
      handlers: Placed.on((_, ctx) => void seen.push(ctx.node)),
    });
    const { subscriptions, ...old } = app.self;
    assertEquals(subscriptions, ["Placed/Placed"]);
    const info = { ...old, id: "old", endpoint: "old.x" };
    const read = readRecord("old", writeRecord(info));
    assert(typeof read !== "string");
    assertEquals(read.subscriptions, undefined);
    // write the record of a node that has no process: a message sent to this node would wait for an answer
    const bucket = await cluster.clock.until(cluster.network.store.open("catga_default_nodes"));
    await cluster.clock.until(bucket.put("old", writeRecord(info), { ttl: 60_000 }));
    await cluster.clock.until(app.publish(Placed, { n: 1, key: "k" }));
    await cluster.clock.advance(2_000);
    assertEquals(seen, ["a"]);
    // the record must pass the checks of version 0.1: names of contracts, and a letter for each kind
    assert(app.self.handles.every((name) => /^[\w-]+(\.[\w-]+)*$/.test(name)));
    assertEquals(app.self.kinds?.length, app.self.handles.length);
  });

  it("are invalid with subscriptions that no node announces", async () => {
    await using cluster = new MemoryCluster();
    const { self } = await cluster.start("a", { handlers: Placed.on(() => {}) });
    for (
      const wrong of ["Placed/Placed", [7], ["Placed"], ["a b/Placed"], ["a/b c"], ["/Placed"], ["a/"], ["a/b/c"], [""]]
    ) {
      const record = readRecord("a", JSON.stringify({ ...self, subscriptions: wrong }));
      assertEquals(record, "no subscriptions", JSON.stringify(wrong));
    }
    const known = readRecord("a", JSON.stringify({ ...self, subscriptions: ["@/Mail.Out", "x/Placed"] }));
    assert(typeof known !== "string");
    assertEquals(known.subscriptions, ["@/Mail.Out", "x/Placed"]);
  });
});
