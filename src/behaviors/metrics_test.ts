import { assertEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { catga, command, event, fail, query, unwrap, workflow } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { Administration } from "../log/administration/administration.ts";
import { type StreamKind, streamName } from "../log/format/stream_name.ts";
import { streamOptions } from "../log/format/streams.ts";
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

  it("each is described in docs/observability.md, which describes no other", async () => {
    const read = (path: string) => readFile(new URL(path, import.meta.url), "utf8");
    const names = (text: string) =>
      [...new Set([...text.matchAll(/\bcatga\.[a-z_.]+[a-z]/g)].map(([name]) => name))].sort();
    const [, made] = (await read("metrics.ts")).split("function instrumentsOf(");
    const [, page] = (await read("../../docs/observability.md")).split("## Metrics\n");
    const [described] = page.split("\n## ");
    const attributes = ["catga.operation", "catga.outcome", "catga.subscription"];
    assertEquals(
      names(described).filter((name) => !attributes.includes(name)),
      names(made.split("\n}\n")[0]),
    );
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

  it("tells Catga's codes apart, however many handlers make (OUTCOME_UNKNOWN was _OTHER behind 100)", async () => {
    const Makes = command<string, void>("Makes");
    const handlers = Makes.handle((code) => fail(code, "made up"));
    await using app = await catga({ handlers, behaviors: [metrics()] });
    for (let n = 0; n < 100; n++) await app.send(Makes, `C${n}`);
    await app.send(Makes, "OUTCOME_UNKNOWN");
    const points = await telemetry.points("catga.send.duration");
    const found = points.filter(({ attributes }) => attributes["catga.contract"] === "Makes").at(-1);
    assertEquals(found?.attributes["catga.outcome"], "OUTCOME_UNKNOWN");
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

  it("records the outboxes that a node relays, and 0 when another one does", async () => {
    await using app = await catga({ behaviors: [metrics()] });
    const { health } = app;
    let leads = true;
    const stores = () =>
      [
        { name: "main", leads, oldest: 4_200, refused: 3, halted: "older", error: undefined },
        { name: "other", leads: false, oldest: 0, refused: 0, halted: undefined, error: undefined },
      ].map((each) => leads ? each : { ...each, oldest: 0, refused: 0, halted: undefined });
    app.health = () => ({ ...health.call(app), sql: stores() });
    const read = async () => {
      const all = await Promise.all(
        ["oldest", "refused", "stopped"].map((name) => telemetry.points(`catga.sql.${name}`)),
      );
      return all.map((points) =>
        points.filter(({ attributes }) => attributes["catga.node"] === app.self.id)
          .map(({ attributes, value }) => `${attributes["catga.store"]} ${value}`)
      );
    };
    assertEquals(await read(), [["main 4.2"], ["main 3"], ["main 1"]]);
    leads = false;
    assertEquals(await read(), [["main 0"], ["main 0"], ["main 0"]]);
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

  it("counts all dropped events, a minute after the first", { timeout: 300_000 }, async () => {
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

describe("metrics of workflows", () => {
  let telemetry: Telemetry;
  before(() => void (telemetry = new Telemetry()));
  after(() => telemetry.stop());

  it("counts runs that became stuck, by workflow and why", async () => {
    const Upload = workflow<void, void>("Upload");
    const upload = Upload.handle(() => fail("NO_ROOM", "full"));
    const Export = workflow<void, void>("Export");
    const handlers = [
      upload,
      Export.handle((flow) =>
        flow.step("write", () => {
          throw new Error("full");
        }, { retry: { attempts: 1 } })
      ),
    ];
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    await using app = await catga({ handlers, behaviors: [metrics()], logger });
    assertEquals((await app.result(Upload, unwrap(await app.start(Upload)))).error?.code, "NO_ROOM");
    const run = unwrap(await app.start(Export));
    await eventually("the stuck run", async () => {
      for await (const { id } of app.runs({ status: "stuck" })) return id === run;
    });
    assertEquals(await telemetry.points("catga.workflow.stuck"), [
      { attributes: { "catga.workflow": "Export", "catga.outcome": "HANDLER_FAILED" }, value: 1 },
    ]);
  });

  it("counts calls that were to complete a callback, by outcome", async () => {
    const Order = workflow<void, unknown>("Order");
    const token = Promise.withResolvers<string>();
    const order = Order.handle(async (flow) => {
      const paid = flow.callback("paid");
      await flow.step("tell", () => token.resolve(paid.token));
      return (await paid.result).value;
    });
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    await using app = await catga({ handlers: order, behaviors: [metrics()], logger });
    const run = unwrap(await app.start(Order));
    for (const [made, value] of [["", 1], [await token.promise, 1], [await token.promise, 2], ["x", 1]] as const) {
      await app.complete(made, value);
    }
    unwrap(await app.result(Order, run));
    const points = await telemetry.points("catga.callbacks");
    assertEquals(points.map(({ attributes, value }) => [attributes["catga.outcome"], value]), [
      ["NO_CALLBACK", 2],
      ["ok", 1],
      ["CALLBACK_ENDED", 1],
    ]);
  });

  it("has how long runs took, and open ones by status, from one of the nodes, and from the other when that is gone", async () => {
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const Trip = workflow<{ fails: boolean }>("Trip");
    const Go = Trip.signal("go");
    const handlers = Trip.handle(async (flow, { fails }) => {
      await flow.wait(Go);
      if (fails) return fail("LATE", "too late");
    });
    const options = { service: "trips", behaviors: [metrics()], handlers };
    const apps = [await cluster.start("a", options), await cluster.start("b", options)];
    for (const id of ["1", "2", "3", "4"]) {
      unwrap(await clock.until(apps[0].start(Trip, { fails: id === "2" }, { id })));
    }
    await clock.advance(70_000);
    const open = async () =>
      (await telemetry.points("catga.workflow.open")).map(({ attributes, value }) =>
        `${attributes["catga.node"]} ${attributes["catga.workflow"]} ${attributes["catga.status"]} ${value}`
      );
    assertEquals(await open(), ["a Trip waiting 4"]);
    for (const id of ["1", "2"]) {
      unwrap(await clock.until(apps[1].tell(Go, id)));
      await clock.until(apps[1].result(Trip, id));
    }
    const trip = (outcome: string) => ({ "catga.workflow": "Trip", "catga.outcome": outcome });
    assertEquals(
      (await telemetry.points("catga.workflow.duration")).filter(({ attributes }) =>
        attributes["catga.workflow"] === "Trip"
      ),
      [{ attributes: trip("ok"), value: 1 }, { attributes: trip("LATE"), value: 1 }],
    );
    await clock.advance(70_000);
    assertEquals(await open(), ["a Trip waiting 2"]);
    await clock.until(apps[0].drain());
    await clock.advance(70_000);
    assertEquals((await open()).filter((line) => !line.startsWith("a ")), ["b Trip waiting 2"]);
  });
});

describe("metrics of the log", () => {
  const Booked = event<{ n: number; bad?: boolean }>("Booked", { durable: true, key: ({ n }) => `${n}` });
  const Mail = command<{ to: string }>("Mail", { durable: true });
  let telemetry: Telemetry;
  before(() => void (telemetry = new Telemetry()));
  after(() => telemetry.stop());

  const billing = { "catga.subscription": "shop/billing" };
  const of = async (name: string) => {
    const points = await telemetry.points(`catga.log.${name}`);
    const key = ({ attributes }: typeof points[number]) => JSON.stringify(attributes);
    return points.toSorted((a, b) => key(a) < key(b) ? -1 : 1);
  };

  it("counts what is stored, handled, failed and dead, and shows what is left, from the node that leads", async () => {
    // with this seed the random pause before the second attempt is longer than the 5 s until the first look
    await using cluster = new MemoryCluster({ seed: 1 });
    const { clock } = cluster;
    const go = Promise.withResolvers<void>();
    const handlers = [
      Booked.on(async ({ bad }) => {
        if (bad) return fail("NO_ROOM", "full");
        await go.promise;
      }, { name: "billing", retry: { attempts: 2, delay: [60_000, 60_000] } }),
      Mail.handle(() => {}),
    ];
    const options = { service: "shop", behaviors: [metrics()] };
    const a = await cluster.start("a", { ...options, handlers });
    const b = await cluster.start("b", { ...options, handlers });
    await clock.advance(5_000); // time for each subscription to get a leader
    const bookings = [{ n: 1 }, { n: 2 }, { n: 3, bad: true }, { n: 3 }];
    const published = await clock.until(Promise.all(bookings.map((booking) => a.publish(Booked, booking))));
    const enqueued = await clock.until(a.enqueue(Mail, { to: "ada" }));
    assertEquals([...published, enqueued].map(({ ok }) => ok), [true, true, true, true, true]);
    assertEquals(await of("stored"), [
      { attributes: { "catga.contract": "Booked" }, value: 4 },
      { attributes: { "catga.contract": "Mail" }, value: 1 },
    ]);
    await clock.advance(5_000);
    const leader = [a, b].find((app) =>
      app.health().subscriptions.some(({ name, state }) => name === "billing" && state === "leading")
    )!;
    const led = { "catga.node": leader.self.id, ...billing };
    const ledOnes = async (name: string) =>
      (await of(name)).filter(({ attributes }) => attributes["catga.subscription"] === "shop/billing");
    assertEquals(await ledOnes("failures"), [
      { attributes: { ...billing, "catga.contract": "Booked", "catga.outcome": "NO_ROOM" }, value: 1 },
    ]);
    // two messages run; one has failed and is parked, and another one of its key waits behind it
    assertEquals([await ledOnes("open"), await ledOnes("retrying")], [
      [{ attributes: led, value: 2 }],
      [{ attributes: led, value: 2 }],
    ]);
    const [{ attributes, value: age }] = await ledOnes("oldest");
    assertEquals([attributes, age >= 5 && age < 7], [led, true]);
    go.resolve();
    await clock.advance(130_000);
    assertEquals(await of("handled"), [
      { attributes: { "catga.subscription": "@/Mail", "catga.contract": "Mail" }, value: 1 },
      { attributes: { ...billing, "catga.contract": "Booked" }, value: 2 },
    ]);
    const dead = { ...billing, "catga.contract": "Booked", "catga.outcome": "NO_ROOM" };
    assertEquals(await of("dead_letters"), [{ attributes: dead, value: 1 }]);
    assertEquals(await ledOnes("failures"), [{ attributes: dead, value: 2 }]);
    // the values of all nodes are added, because the leadership may have moved, and a node that no longer leads reports
    // 0
    const sum = async (name: string) => (await ledOnes(name)).reduce((all, { value }) => all + value, 0);
    // the message that waits behind the dead letter is counted as retrying
    assertEquals([await sum("dead"), await sum("retrying"), await sum("open")], [1, 1, 0]);
  });

  it("lag is what a subscription has not read, measured every 10 s and not asked for by those who read it", async () => {
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const handlers = Booked.on(() => new Promise(() => {}), { name: "billing", timeout: 3_600_000 });
    const app = await cluster.start("slow", { service: "shop", behaviors: [metrics()], handlers });
    await clock.advance(5_000);
    // a node gets 256 messages before its first record, and 1,024 after it
    for (let n = 0; n < 1_500; n++) await clock.until(app.publish(Booked, { n }));
    await clock.advance(10_000);
    const own = async (name: string) =>
      (await of(name)).find(({ attributes }) => attributes["catga.node"] === "slow")!.value;
    const [open, lag] = [await own("open"), await own("lag")];
    assertEquals([open >= 256 && open < 1_500, open + lag], [true, 1_500]);
    await clock.until(app.drain({ timeout: 0 }), 60_000);
    cluster.apps.clear();
  });

  it("counts what a limit has skipped, once a second", async () => {
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const go = Promise.withResolvers<void>();
    const handlers = Booked.on(() => go.promise, { name: "once", limit: { running: 1, over: "skip" } });
    const app = await cluster.start("s", { service: "shop", behaviors: [metrics()], handlers });
    await clock.advance(5_000); // time for the subscription to get a leader
    await clock.until(Promise.all([1, 2, 3, 4, 5].map((n) => app.publish(Booked, { n }))));
    await clock.advance(3_000);
    const own = (await of("skipped")).filter(({ attributes }) => attributes["catga.subscription"] === "shop/once");
    assertEquals(own, [
      { attributes: { "catga.subscription": "shop/once", "catga.contract": "Booked" }, value: 4 },
    ]);
    go.resolve();
    await clock.advance(1_000);
  });

  it("shows which limits operators have paused, or a key of them, until they are resumed or another node leads", async () => {
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const limit = [{ name: "bank", running: 2 }, { name: "account", key: () => "a", running: 2 }] as const;
    const start = (id: string) =>
      cluster.start(id, {
        ...{ service: "shop", behaviors: [metrics()] },
        handlers: Booked.on(() => {}, { name: "billing", limit: [...limit] }),
      });
    const app = await start("p-1");
    await clock.advance(5_000); // time for the subscription to get a leader
    await clock.until(app.publish(Booked, { n: 1 }));
    await clock.advance(1_000);
    const { log } = cluster.network.connect();
    const open = (kind: StreamKind) => log.open(streamName("default", kind), streamOptions("default", kind, 1));
    const operator = new Administration({
      ...{ namespace: "default", clock, network: { maxPayload: 1_048_576 }, nodes: () => app.nodes() },
      ...{ stream: () => open("log"), kept: () => open("subscriptions") },
    });
    const paused = async (node: string) => {
      const own = (await of("limit.paused")).filter(({ attributes }) => attributes["catga.node"] === node);
      return Object.fromEntries(own.map(({ attributes, value }) => [attributes["catga.limit"], value]));
    };
    const target = (limit: string) => ({ service: "shop", subscription: "billing", limit });
    const change = async (made: Promise<void>) => {
      await clock.until(made);
      await clock.advance(1_000);
    };
    assertEquals(await paused("p-1"), { bank: 0, "account by key": 0 });
    await change(operator.setLimit(target("bank"), { running: 1 }));
    assertEquals(await paused("p-1"), { bank: 0, "account by key": 0 });
    await change(operator.pauseLimit(target("account"), { key: "b" }));
    assertEquals(await paused("p-1"), { bank: 0, "account by key": 1 });
    await change(operator.pauseLimit(target("bank")));
    assertEquals(await paused("p-1"), { bank: 1, "account by key": 1 });
    await change(operator.resumeLimit(target("account"), "b"));
    assertEquals(await paused("p-1"), { bank: 1, "account by key": 0 });
    const next = await start("p-2");
    await change(app.drain());
    await clock.until(next.publish(Booked, { n: 2 })); // a leader knows the limits of what it has read
    await clock.advance(30_000);
    assertEquals(await paused("p-2"), { bank: 1, "account by key": 0 });
    await change(operator.clearLimit(target("bank")));
    assertEquals(await paused("p-2"), { bank: 0, "account by key": 0 });
  });

  it("shows what has slots of a limit and what waits for it, from the node that leads, and 0 when that is over", async () => {
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const go = Promise.withResolvers<void>();
    const handlers = Booked.on(() => go.promise, { name: "billing", limit: { name: "bank", running: 2 } });
    const app = await cluster.start("a", { service: "shop", behaviors: [metrics()], handlers });
    await clock.advance(5_000); // time for the subscription to get a leader
    await clock.until(Promise.all([1, 2, 3, 4, 5].map((n) => app.publish(Booked, { n }))));
    await clock.advance(1_000);
    const attributes = { "catga.node": "a", ...billing, "catga.limit": "bank" };
    const ofBank = async (name: string) =>
      (await of(`limit.${name}`)).filter((point) => point.attributes["catga.node"] === "a");
    assertEquals(await ofBank("running"), [{ attributes, value: 2 }]);
    assertEquals(await ofBank("waiting"), [{ attributes, value: 3 }]);
    go.resolve();
    await clock.advance(1_000);
    assertEquals([await ofBank("running"), await ofBank("waiting")], [
      [{ attributes, value: 0 }],
      [{ attributes, value: 0 }],
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
