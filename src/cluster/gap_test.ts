/** Tests of a gap: the only node that handles a contract restarts, and senders wait for it. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { command, query } from "../contract/declaration/definition.ts";
import type { Result } from "../contract/calls/result.ts";
import { openStage } from "../../test/support/stage.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";

const Price = query<number, string>("Price");
const Pay = command<number, string>("Pay");
const handlers = [Price.handle((_, ctx) => ctx.node), Pay.handle((_, ctx) => ctx.node)];
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;

describe("a gap", () => {
  for (const id of ["prices", "others"]) {
    it(`of 10 s, and then ${id === "prices" ? "the same id" : "another node"}: no send fails, and each runs once`, async () => {
      await using cluster = await MemoryCluster.of("shop");
      const { clock, apps } = cluster;
      const shop = apps.get("shop")!;
      const ran: number[] = [];
      const counted = [Pay.handle((n, ctx) => {
        ran.push(n);
        return ctx.node;
      })];
      await cluster.start("prices", { handlers: counted });
      await clock.until(apps.get("prices")!.drain());
      const sent: Promise<Result<unknown>>[] = [];
      for (let i = 0; i < 100; i++) {
        sent.push(shop.send(Pay, i));
        await clock.advance(100);
      }
      await cluster.start(id, { handlers: counted });
      assertEquals(new Set((await clock.until(Promise.all(sent))).map(code)), new Set([id]));
      // the waiting requests have run in the order of their sends
      assertEquals(ran, Array.from({ length: 100 }, (_, i) => i));
    });
  }

  it("ends at the deadline with UNAVAILABLE, with the caller's signal, and a contract nobody ever handled after 500 ms", async () => {
    await using cluster = await MemoryCluster.of("shop");
    const { clock, apps } = cluster;
    const shop = apps.get("shop")!;
    await cluster.start("prices", { handlers });
    await clock.until(apps.get("prices")!.drain());
    const stop = new AbortController();
    const start = clock.monotonic();
    const ended = async (sent: Promise<Result<unknown>>) => `${code(await sent)} ${clock.monotonic() - start}`;
    const sent = [
      ended(shop.send(Pay, 1, { timeout: 2_000 })),
      ended(shop.send(Price, 1, { signal: stop.signal })),
      ended(shop.send(query<void, void>("Never"))),
      ended(shop.send(Price, 1, { node: "prices" })),
    ];
    await clock.advance(1_000);
    stop.abort();
    assertEquals(await clock.until(Promise.all(sent)), [
      "UNAVAILABLE 2000",
      "CANCELLED 1000",
      "NO_HANDLER 500",
      "NO_HANDLER 500",
    ]);
    const { error } = await clock.until(shop.send(Pay, 1, { timeout: 1_000 }));
    assert(error?.message.includes("no node that handles it was there"), error?.message);
    // the contract is forgotten 5 minutes after its last node has left
    await clock.advance(300_000);
    assertEquals(code(await clock.until(shop.send(Pay, 1), 600)), "NO_HANDLER");
  });

  it("is known to a node that started in it, from those that were there before", async () => {
    await using cluster = await MemoryCluster.of("shop", "b", "c");
    const { clock, apps } = cluster;
    await cluster.start("prices", { handlers });
    await clock.until(apps.get("prices")!.drain());
    await clock.advance(1_000);
    const late = await cluster.start("late");
    const sent = [late.send(Price, 1), late.send(Pay, 1)];
    const unknown = late.send(query<void, void>("Never"));
    await clock.advance(5_000);
    assertEquals(code(await unknown), "NO_HANDLER");
    await cluster.start("prices", { handlers });
    assertEquals((await clock.until(Promise.all(sent))).map(code), ["prices", "prices"]);
  });

  it("is asked about by name; an answer to no question changes nothing", async () => {
    await using stage = await openStage({ handlers: [] });
    const { app, other, clock, settle } = stage;
    const to = app.self.endpoint;
    other.send(to, ["g", "Price", 300_000], ["h", "Price"]);
    await settle();
    const sent = app.send(Price, 1);
    await settle();
    assertEquals([other.items("h"), other.items("g")], [[["h", "Price"]], []]);
    assertEquals(code(await clock.until(sent)), "NO_HANDLER");
    const waiting = app.send(Price, 1);
    await settle();
    other.send(to, ["g", "Price", 4_000]);
    await clock.advance(3_000);
    other.send(to, ["h", "Price"]);
    await settle();
    // the answer names the rest of the time for which the contract is remembered
    assertEquals(other.items("g"), [["g", "Price", 1_000]]);
    await clock.advance(2_000);
    const unknown = app.send(Price, 1);
    assertEquals(code(await clock.until(unknown, 600)), "NO_HANDLER");
    assertEquals(code(await clock.until(waiting)), "UNAVAILABLE");
  });

  it("is unknown where every node has started in it", async () => {
    await using cluster = await MemoryCluster.of("shop");
    const { clock, apps } = cluster;
    await cluster.start("prices", { handlers });
    await clock.until(apps.get("prices")!.drain());
    await clock.until(apps.get("shop")!.drain());
    await cluster.start("b");
    const c = await cluster.start("c");
    assertEquals(code(await clock.until(c.send(Price, 1), 600)), "NO_HANDLER");
  });

  it("after a kill: queries move to the next process, whatever its id; the command in hand is OUTCOME_UNKNOWN", async () => {
    await using cluster = await MemoryCluster.of("shop");
    const { clock, apps, network } = cluster;
    const shop = apps.get("shop")!;
    const slow = [
      Price.handle((_, ctx) => new Promise((done) => network.clockOf(ctx.node).after(100, () => done(ctx.node)))),
      Pay.handle((_, ctx) => new Promise((done) => network.clockOf(ctx.node).after(100, () => done(ctx.node)))),
    ];
    await cluster.start("prices", { handlers: slow });
    for (const next of ["prices", "prices-2", "prices", "prices-2"]) {
      const inHand = [shop.send(Price, 1), shop.send(Pay, 1)];
      await clock.advance(10);
      cluster.kill(apps.has("prices") ? "prices" : "prices-2");
      const later: Promise<Result<unknown>>[] = [];
      for (let i = 0; i < 50; i++) {
        later.push(shop.send(i % 2 === 0 ? Price : Pay, i));
        await clock.advance(100);
      }
      await cluster.start(next, { handlers: slow });
      const results = await clock.until(Promise.all([...inHand, ...later]));
      assertEquals(results.map(code), [next, "OUTCOME_UNKNOWN", ...later.map(() => next)]);
    }
  });

  it("with 5,000 calls that wait: the fresh node runs as many at once as it may, and all succeed", async () => {
    await using cluster = await MemoryCluster.of("shop");
    const { clock, apps, network } = cluster;
    const shop = apps.get("shop")!;
    let running = 0;
    let most = 0;
    const counted = [Pay.handle((_, ctx) => {
      most = Math.max(most, ++running);
      return new Promise<string>((done) =>
        network.clockOf(ctx.node).after(10, () => {
          running--;
          done(ctx.node);
        })
      );
    })];
    await cluster.start("prices", { handlers: counted });
    await clock.until(apps.get("prices")!.drain());
    const sent = Array.from({ length: 5_000 }, (_, i) => shop.send(Pay, i));
    await clock.advance(3_000);
    await cluster.start("prices", { handlers: counted, concurrency: 100 });
    assertEquals(new Set((await clock.until(Promise.all(sent))).map(code)), new Set(["prices"]));
    assertEquals(most, 100);
  });

  it("a node that drains does not wait for it", async () => {
    await using cluster = await MemoryCluster.of("shop");
    const { clock, apps } = cluster;
    const shop = apps.get("shop")!;
    await cluster.start("prices", { handlers });
    await clock.until(apps.get("prices")!.drain());
    const sent = shop.send(Pay, 1);
    await clock.advance(1_000);
    const start = clock.monotonic();
    await clock.until(shop.drain());
    const { error } = await sent;
    assertEquals([error?.code, error?.retryable, clock.monotonic() - start < 1_000], ["UNAVAILABLE", true, true]);
    apps.delete("shop");
    apps.delete("prices");
  });

  it("a broadcast, and an event, do not wait for it", async () => {
    await using cluster = await MemoryCluster.of("shop");
    const { clock, apps } = cluster;
    const shop = apps.get("shop")!;
    await cluster.start("prices", { handlers });
    await clock.until(apps.get("prices")!.drain());
    assertEquals(await clock.until(shop.broadcast(Price, 1), 10), []);
  });
});
