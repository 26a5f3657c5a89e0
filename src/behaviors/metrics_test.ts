import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { catga, command, event, fail, query } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { openStage } from "../../test/support/stage.ts";
import { Telemetry } from "../../test/support/telemetry.ts";
import { metrics } from "./metrics.ts";

const Order = command<{ qty: number }, string>("Order");
const Price = query<void, number>("Price");
const Ordered = event("Ordered");
const Moved = event<number>("Moved");

const order = Order.handle(async ({ qty }, ctx) => {
  if (qty < 1) return fail("BAD_QUANTITY", "too few");
  await ctx.send(Price);
  await ctx.publish(Ordered);
  return "done";
});
const price = Price.handle(() => 420);

describe("metrics", () => {
  let telemetry: Telemetry;
  before(() => void (telemetry = new Telemetry()));
  after(() => telemetry.stop());

  it("records durations of handlers and of sends, by contract and outcome", async () => {
    await using app = await catga({ handlers: [order, price], behaviors: [metrics()] });
    await app.send(Order, { qty: 1 });
    await app.send(Order, { qty: 1 });
    await app.send(Order, { qty: 0 });
    const of = (contract: string, outcome: string, rest: Record<string, unknown>) => ({
      "catga.contract": contract,
      "catga.outcome": outcome,
      ...rest,
    });
    assertEquals(sorted(await telemetry.points("catga.handler.duration")), [
      { attributes: of("Order", "BAD_QUANTITY", { "catga.kind": "command" }), value: 1 },
      { attributes: of("Order", "ok", { "catga.kind": "command" }), value: 2 },
      { attributes: of("Price", "ok", { "catga.kind": "query" }), value: 2 },
    ]);
    assertEquals(sorted(await telemetry.points("catga.send.duration")), [
      { attributes: of("Order", "BAD_QUANTITY", { "catga.operation": "send" }), value: 1 },
      { attributes: of("Order", "ok", { "catga.operation": "send" }), value: 2 },
      { attributes: of("Ordered", "ok", { "catga.operation": "publish" }), value: 2 },
      { attributes: of("Price", "ok", { "catga.operation": "send" }), value: 2 },
    ]);
  });

  it("limits the number of outcomes, whatever codes handlers and other nodes return", async () => {
    const Fails = command<string, void>("Fails");
    const handlers = Fails.handle((code) => fail(code, "made up"));
    await using app = await catga({ handlers, behaviors: [metrics()] });
    for (
      const code of [
        "NO_TEA",
        "two\nlines",
        "\u202e",
        "x".repeat(65),
        ...Array.from({ length: 300 }, (_, i) => `C${i}`),
      ]
    ) {
      await app.send(Fails, code);
    }
    const points = await telemetry.points("catga.send.duration");
    const outcomes = points.filter(({ attributes }) => attributes["catga.contract"] === "Fails")
      .map(({ attributes }) => attributes["catga.outcome"]);
    assertEquals([outcomes.length, outcomes.includes("NO_TEA"), outcomes.includes("_OTHER")], [101, true, true]);
  });

  it("records messages in flight, messages that wait, and the number of nodes, until the app has stopped", async () => {
    const cluster = new MemoryCluster();
    const go = Promise.withResolvers<number>();
    const behaviors = [metrics()];
    const handlers = Price.handle(() => go.promise);
    const app = await cluster.start("busy", { concurrency: 1, handlers, behaviors });
    const { health } = app;
    let reads = 0;
    app.health = () => (reads++, health.call(app));
    const client = await cluster.start("client");
    const sent = client.sendAll(Price, [undefined, undefined, undefined]);
    await cluster.clock.advance(10);
    const read = () =>
      Promise.all(["in_flight", "queued", "nodes"].map(async (name) => {
        const points = await telemetry.points(`catga.${name}`);
        return points.find(({ attributes }) => attributes["catga.node"] === "busy")?.value;
      }));
    assertEquals(await read(), [1, 2, 2]);
    go.resolve(1);
    await cluster.clock.until(sent);
    assertEquals(await read(), [0, 0, 2]);
    await cluster[Symbol.asyncDispose]();
    const before = reads;
    await read();
    assertEquals(reads, before);
  });

  it("counts retries, bounces, breaker transitions and lost connections", async () => {
    await using stage = await openStage({
      handles: ["Price"],
      behaviors: [metrics()],
      breaker: { failures: 1, cooldown: 10_000 },
    });
    stage.other.transport.kill();
    const result = await stage.clock.until(stage.app.send(Price, undefined, { retries: 1, timeout: 3_000 }));
    assertEquals(result.ok, false);
    const of = async (name: string) => (await telemetry.points(`catga.${name}`)).at(-1);
    assertEquals((await of("retries"))?.attributes, { "catga.contract": "Price", "catga.reason": "BOUNCED" });
    assertEquals(((await of("bounces"))?.value ?? 0) > 0, true);
    assertEquals((await of("breaker.transitions"))?.attributes["catga.state"], "open");
    stage.network.cut("node");
    stage.network.restore("node");
    assertEquals((await of("disconnects"))?.value, 1);
  });

  it("counts all dropped events, a minute after the first", { timeout: 120_000 }, async () => {
    const handlers = Moved.on(() => new Promise(() => {}));
    const stage = await openStage({ handlers, concurrency: 1, behaviors: [metrics()] });
    const events = 1 + 65_536 + 5;
    for (let n = 0; n < events; n += 64) {
      const batch = Array.from({ length: Math.min(64, events - n) }, (_, i) => n + i);
      stage.other.transport.publish("catga.default.event.Moved", `[1,"other.1",0,{"seq":${n + 1}},${batch}]`);
    }
    await stage.settle();
    const points = () => telemetry.points("catga.events.dropped");
    assertEquals(await points(), [{ attributes: { "catga.contract": "Moved" }, value: 1 }]);
    await stage.clock.advance(60_000);
    assertEquals(await points(), [{ attributes: { "catga.contract": "Moved" }, value: 5 }]);
    await stage.clock.until(stage.app.drain({ timeout: 0 }), 1_000);
  });

  it("records the time that locks were waited for, by outcome", async () => {
    await using cluster = new MemoryCluster();
    const app = await cluster.start("waits", { behaviors: [metrics()] });
    await cluster.clock.until(app.lock("k"));
    await cluster.clock.until(app.lock("k", { timeout: 5 }).catch(() => {}));
    assertEquals(await telemetry.points("catga.lock.wait.duration"), [
      { attributes: { "catga.outcome": "LOCK_TIMEOUT" }, value: 1 },
    ]);
  });
});

describe("metrics without an SDK", () => {
  it("changes nothing", async () => {
    await using app = await catga({ handlers: price, behaviors: [metrics()] });
    assertEquals(await app.send(Price), { ok: true, value: 420 });
  });
});

function sorted<T extends { attributes: Record<string, unknown> }>(points: T[]): T[] {
  const key = ({ attributes }: T) => `${attributes["catga.contract"]} ${attributes["catga.outcome"]}`;
  return points.toSorted((a, b) => key(a) < key(b) ? -1 : 1);
}
