import { connect, headers } from "@nats-io/transport-node";
import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, beforeEach, describe, it } from "node:test";
import {
  type Behavior,
  type Catga,
  catga,
  command,
  event,
  fail,
  query,
  type RunInfo,
  unwrap,
  workflow,
} from "../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { OWN_RUNTIMES, startProgram } from "../../test/processes/node_process.ts";
import { Handoff, lineOf, Rest, type SpanLine } from "../../test/processes/traced_node.ts";
import { eventually } from "../../test/support/eventually.ts";
import { openStage } from "../../test/support/stage.ts";
import { Telemetry } from "../../test/support/telemetry.ts";
import { unreadable } from "../../test/support/unreadable.ts";
import { retry } from "./retry.ts";
import { tracing } from "./tracing.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { MemoryNetwork } from "../testing/mod.ts";

const Order = command<{ sku: string }, string>("Order");
const Price = query<{ sku: string }, number>("Price");
const Ordered = event<{ sku: string }>("Ordered");

let telemetry: Telemetry;
before(() => void (telemetry = new Telemetry()));
beforeEach(() => telemetry.forget());
after(() => telemetry.stop());

const idOf = (span: ReadableSpan) => span.spanContext().spanId;
const parentOf = (span: ReadableSpan) => span.parentSpanContext?.spanId;
const traces = () => new Set(telemetry.spans.map((span) => span.spanContext().traceId)).size;

/** Returns the name of each span with the name of its parent, sorted. */
function tree(): string[] {
  const { spans } = telemetry;
  const names = new Map(spans.map((span) => [idOf(span), span.name]));
  return spans.map((span) => `${span.name} < ${names.get(parentOf(span) ?? "") ?? "nothing"}`).sort();
}

/**
 * Starts three nodes: a shop that handles orders, a till that knows prices, and an office that gets the events of
 * orders.
 */
async function chain(place: { nats: string } | { network: MemoryNetwork }): Promise<Catga[]> {
  const behaviors = [tracing()];
  const order = Order.handle(async (what, ctx) => {
    const own = trace.getTracer("own").startSpan("own work");
    own.end();
    const cost = unwrap(await ctx.send(Price, what));
    unwrap(await ctx.publish(Ordered, what));
    return `${what.sku} for ${cost}`;
  });
  const apps = [
    await catga({ ...place, id: "till", service: "till", behaviors, handlers: Price.handle(() => 420) }),
    await catga({ ...place, id: "office", service: "office", behaviors, handlers: Ordered.on(() => {}) }),
    await catga({ ...place, id: "shop", service: "shop", behaviors, handlers: order }),
    await catga({ ...place, id: "client", service: "client", behaviors }),
  ];
  await eventually("all to see all", () => apps.every((app) => app.nodes().length === 4));
  return apps;
}

async function ordered(apps: Catga[]): Promise<void> {
  assertEquals(await apps[3].send(Order, { sku: "tea" }), { ok: true, value: "tea for 420" });
  await eventually("the event", () => telemetry.spans.some(({ name }) => name === "process Ordered"));
  assertEquals(tree(), [
    "own work < process Order",
    "process Order < send Order",
    "process Ordered < publish Ordered",
    "process Price < send Price",
    "publish Ordered < process Order",
    "send Order < nothing",
    "send Price < process Order",
  ]);
  assertEquals(traces(), 1);
}

describe("tracing", () => {
  it("is one trace from a send to its handler, the sends of that handler, and their handlers, on four nodes", async () => {
    const apps = await chain({ network: new MemoryNetwork() });
    await ordered(apps);
    await Promise.all(apps.map((app) => app.drain()));
  });

  it("has the kinds and attributes of the conventions for messaging", async () => {
    const apps = await chain({ network: new MemoryNetwork() });
    await apps[3].send(Order, { sku: "tea" }, { id: "m1" });
    await eventually("the event", () => telemetry.spans.some(({ name }) => name === "process Ordered"));
    const kinds = ["send Order", "process Order", "publish Ordered", "process Ordered"];
    assertEquals(kinds.map((name) => telemetry.span(name).kind), [
      SpanKind.CLIENT,
      SpanKind.SERVER,
      SpanKind.PRODUCER,
      SpanKind.CONSUMER,
    ]);
    const both = {
      "messaging.system": "catga",
      "messaging.destination.name": "Order",
      "messaging.message.id": "m1",
      "catga.kind": "command",
    };
    assertEquals({ ...telemetry.span("send Order").attributes }, {
      ...both,
      "messaging.operation.name": "send",
      "messaging.operation.type": "send",
      "messaging.client.id": "client",
    });
    assertEquals({ ...telemetry.span("process Order").attributes }, {
      ...both,
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.client.id": "shop",
      "messaging.message.conversation_id": "m1",
      "catga.attempt": 1,
    });
    await Promise.all(apps.map((app) => app.drain()));
  });

  it("a failure sets the status and error.type of both spans; the exception is recorded on the handler's node alone", async () => {
    const network = new MemoryNetwork();
    const handlers = [
      Order.handle(() => fail("OUT_OF_TEA", "no tea left")),
      Price.handle(() => {
        throw new Error("the till is on fire");
      }),
    ];
    await using _shop = await catga({ network, id: "shop", handlers, behaviors: [tracing()], logger: QUIET });
    await using client = await catga({ network, id: "client", behaviors: [tracing()] });
    await client.send(Order, { sku: "tea" });
    await client.send(Price, { sku: "tea" });
    const ends = ["send Order", "process Order", "send Price", "process Price"].map((name) => {
      const { status, attributes, events } = telemetry.span(name);
      return [status.code, attributes["error.type"], events.map(({ attributes }) => attributes?.["exception.message"])];
    });
    assertEquals(ends, [
      [SpanStatusCode.ERROR, "OUT_OF_TEA", []],
      [SpanStatusCode.ERROR, "OUT_OF_TEA", []],
      [SpanStatusCode.ERROR, "HANDLER_FAILED", []],
      [SpanStatusCode.ERROR, "HANDLER_FAILED", ["the till is on fire"]],
    ]);
    assertEquals(telemetry.span("send Order").status.message, "no tea left");
  });

  it("what handlers and steps throw fails them as without tracing, also if it cannot be read", async () => {
    const Fail = workflow("Fail");
    const handlers = [
      Price.handle(() => {
        throw unreadable();
      }),
      Fail.handle(async (flow) => {
        await flow.step("fail", () => {
          throw Object.create(null);
        }, { retry: { attempts: 1 } });
      }),
    ];
    const failures = async (behaviors: Behavior[]) => {
      await using app = await catga({ handlers, behaviors, logger: QUIET, id: "n" });
      const { error } = await app.send(Price, { sku: "tea" }, { id: "1" });
      unwrap(await app.start(Fail));
      const { pending: [step] } = await eventually("the run to be stuck", async () => {
        return (await Array.fromAsync(app.runs())).find(({ status }) => status === "stuck");
      }) as RunInfo;
      return [error?.message, step.error?.message];
    };
    const untraced = await failures([]);
    assertEquals(await failures([tracing()]), untraced);
    assertEquals(telemetry.span("step fail").status.code, SpanStatusCode.ERROR);
  });

  it("a further attempt on another node is an event of the send's span", async () => {
    await using stage = await openStage({ handles: ["Ask"], behaviors: [tracing()] });
    const Ask = query<void, string>("Ask");
    let asked = 0;
    stage.other.onFrame = ({ from, seq, items }) => {
      if (!items.some(([kind]) => kind === "q" || kind === "m")) return;
      if (++asked === 1) stage.other.send(from, ["n", seq, 0, "OVERLOADED"]);
      else stage.other.send(from, ["r", seq, 0, "there"]);
    };
    assertEquals(await stage.clock.until(stage.app.send(Ask)), { ok: true, value: "there" });
    const { events, status } = telemetry.span("send Ask");
    assertEquals(events.map(({ name, attributes }) => [name, { ...attributes }]), [
      ["retry", { "catga.peer": "other", "catga.reason": "OVERLOADED", "catga.attempt": 2 }],
    ]);
    assertEquals(status.code, SpanStatusCode.UNSET);
  });

  it("makes a span for each attempt inside of retry(), one for all outside of it", async () => {
    for (const [behaviors, spans] of [[[retry(), tracing()], 3], [[tracing(), retry()], 1]] as const) {
      telemetry.forget();
      let runs = 0;
      const handlers = Order.handle(() => ++runs < 3 ? fail("AGAIN", "again", { retryable: true }) : "done");
      await using app = await catga({ handlers, behaviors });
      await app.send(Order, { sku: "tea" });
      assertEquals(telemetry.spans.filter(({ name }) => name === "process Order").length, spans);
    }
  });

  it("a send of a handler is its child also where the runtime has lost the active context", async () => {
    let later: (() => Promise<unknown>) | undefined;
    const handlers = [
      Order.handle((what, ctx) => {
        later = () => ctx.send(Price, what);
        return "done";
      }),
      Price.handle(() => 1),
    ];
    await using app = await catga({ handlers, behaviors: [tracing()] });
    await app.send(Order, { sku: "tea" });
    await later!();
    assertEquals(tree().includes("send Price < process Order"), true);
  });

  it("a send is a child of the active span, or of the span in the headers of the send", async () => {
    await using app = await catga({ handlers: Price.handle(() => 1), behaviors: [tracing()] });
    const [trace_, parent] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
    await app.send(Price, { sku: "tea" }, { headers: { traceparent: `00-${trace_}-${parent}-01` } });
    const { traceId } = telemetry.span("process Price").spanContext();
    assertEquals([traceId, parentOf(telemetry.span("send Price"))], [trace_, parent]);
    telemetry.forget();
    await trace.getTracer("own").startActiveSpan("request", async (span) => {
      await app.send(Price, { sku: "tea" });
      span.end();
    });
    assertEquals(tree(), ["process Price < send Price", "request < nothing", "send Price < request"]);
  });

  it("a broadcast has one span, and each of its handlers a child of it", async () => {
    const network = new MemoryNetwork();
    const handlers = Price.handle(() => 1);
    await using _a = await catga({ network, id: "a", handlers, behaviors: [tracing()] });
    await using b = await catga({ network, id: "b", handlers, behaviors: [tracing()] });
    assertEquals((await b.broadcast(Price, { sku: "tea" })).length, 2);
    assertEquals(tree(), [
      "broadcast Price < nothing",
      ...["process Price < broadcast Price", "process Price < broadcast Price"],
    ]);
  });

  it("given to a handler, traces that handler, as a child of its sender's span", async () => {
    const handlers = [Order.handle(() => "", { behaviors: [tracing()] }), Price.handle(() => 1)];
    await using app = await catga({ handlers });
    await app.send(Price, { sku: "tea" });
    await app.send(Order, { sku: "tea" });
    assertEquals(tree(), ["process Order < nothing"]);
  });

  it("handlers receive the baggage of their sender", async () => {
    const seen: unknown[] = [];
    const handlers = Order.handle(() => {
      seen.push(propagation.getActiveBaggage()?.getEntry("tenant")?.value);
      return "";
    });
    await using app = await catga({ handlers, behaviors: [tracing()] });
    const baggage = propagation.createBaggage({ tenant: { value: "north" } });
    await context.with(propagation.setBaggage(context.active(), baggage), () => app.send(Order, { sku: "tea" }));
    assertEquals(seen, ["north"]);
  });
});

const Booked = event<{ room: string }>("Booked", { durable: { keep: 3_600_000 }, key: ({ room }) => room });
const Mail = command<{ to: string }>("Mail", { durable: true });

/**
 * Has a shop publish an event that an office handles in two subscriptions, of which one fails once and queues a mail;
 * asserts the spans.
 */
async function logChain(place: { nats: string } | { network: MemoryNetwork }): Promise<void> {
  const behaviors = [tracing()];
  const headers: unknown[] = [];
  const handlers = [
    Booked.on((_, ctx) => void headers.push(ctx.headers.traceparent), { name: "billing" }),
    Booked.on(async (_, ctx) => {
      if (ctx.attempt === 1) throw new Error("the printer is on fire");
      unwrap(await ctx.enqueue(Mail, { to: "ada" }));
    }, { name: "mails", retry: { delay: [1, 1] } }),
    Mail.handle(() => {}),
  ];
  const shop = await catga({ ...place, id: "shop", service: "shop", behaviors, handlers, logger: QUIET });
  const office = await catga({ ...place, id: "office", service: "office", behaviors });
  await eventually("both to see both", () => [shop, office].every((app) => app.nodes().length === 2));
  unwrap(await office.publish(Booked, { room: "7" }));
  const all = ["process Booked", "process Booked", "process Booked", "process Mail"];
  await eventually(
    "all runs",
    () => telemetry.spans.filter(({ name }) => name.startsWith("process")).length === all.length,
  );
  // the runs of the event are not children of the publisher's span
  assertEquals(tree(), [
    ...["enqueue Mail < process Booked", "process Booked < nothing", "process Booked < nothing"],
    ...["process Booked < nothing", "process Mail < nothing", "publish Booked < nothing"],
  ]);
  const [publish, enqueue, mail] = ["publish Booked", "enqueue Mail", "process Mail"].map((name) =>
    telemetry.span(name)
  );
  const linked = (span: ReadableSpan) => span.links.map(({ context }) => context.spanId);
  const runs = telemetry.spans.filter(({ name }) => name === "process Booked");
  assertEquals(runs.map(linked), [[idOf(publish)], [idOf(publish)], [idOf(publish)]]);
  assertEquals(linked(mail), [idOf(enqueue)]);
  assertEquals([publish, ...runs, enqueue, mail].map(({ kind }) => kind), [
    SpanKind.PRODUCER,
    ...[SpanKind.CONSUMER, SpanKind.CONSUMER, SpanKind.CONSUMER],
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
  ]);
  const about = runs.map(({ attributes, status }) =>
    `${attributes["messaging.destination.subscription.name"]} ${attributes["catga.attempt"]} ${
      SpanStatusCode[status.code]
    }`
  );
  assertEquals(about.toSorted(), ["billing 1 UNSET", "mails 1 ERROR", "mails 2 UNSET"]);
  assertEquals(new Set(runs.map(({ attributes }) => attributes["catga.position"])).size, 1);
  assertEquals(typeof runs[0].attributes["catga.position"], "number");
  assertEquals(mail.attributes["messaging.client.id"], "shop");
  // handlers see the publisher's trace header, but their own messages continue from the span of the run
  const { traceId, spanId } = publish.spanContext();
  assertEquals(headers, [`00-${traceId}-${spanId}-01`]);
  assertEquals(traces(), 5);
  await Promise.all([shop.drain(), office.drain()]);
}

describe("tracing across the log", () => {
  it("each run is a trace of its own, which is linked to the span of what it was published with", async () => {
    await logChain({ network: new MemoryNetwork() });
  });

  it("the span of a batch is linked to the spans of all its members", async () => {
    let held: readonly (string | undefined)[] = [];
    const handlers = Booked.onBatch((batch) => void (held = batch.map(({ headers }) => headers.traceparent)), {
      name: "rows",
      max: 2,
      within: 10_000,
    });
    await using app = await catga({ handlers, network: new MemoryNetwork(), behaviors: [tracing()], logger: QUIET });
    for (const room of ["7", "8"]) unwrap(await app.publish(Booked, { room }));
    await eventually("the batch", () => telemetry.spans.length === 3);
    const { links, attributes } = telemetry.span("process Booked");
    const published = telemetry.spans.filter(({ name }) => name === "publish Booked").map((span) => span.spanContext());
    assertEquals(links.map(({ context }) => context.spanId), published.map(({ spanId }) => spanId));
    assertEquals(held, published.map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`));
    const { "messaging.destination.subscription.name": name, "messaging.batch.message_count": count } = attributes;
    assertEquals([name, count], ["rows", 2]);
  });

  it("what is not stored is a failure of the publisher's span", async () => {
    const network = new MemoryNetwork();
    await using app = await catga({ network, behaviors: [tracing()], logger: QUIET });
    network.log.begin("noLeader");
    const { error } = await app.publish(Booked, { room: "7" }, { timeout: 50 });
    const { status, attributes } = telemetry.span("publish Booked");
    assertEquals([status.code, attributes["error.type"]], [SpanStatusCode.ERROR, error?.code]);
  });

  it("handlers have the baggage of their publisher", async () => {
    const seen = Promise.withResolvers<unknown>();
    const handlers = Booked.on(() => seen.resolve(propagation.getActiveBaggage()?.getEntry("tenant")?.value));
    await using app = await catga({ handlers, behaviors: [tracing()] });
    const baggage = propagation.createBaggage({ tenant: { value: "north" } });
    const inside = propagation.setBaggage(context.active(), baggage);
    unwrap(await context.with(inside, () => app.publish(Booked, { room: "7" })));
    assertEquals(await seen.promise, "north");
  });
});

describe("tracing without a propagator", () => {
  it("links spans by W3C Trace Context", async () => {
    propagation.disable();
    try {
      const seen: unknown[] = [];
      const handlers = Order.handle((_, ctx) => (seen.push(ctx.headers.traceparent), ""));
      await using app = await catga({ handlers, behaviors: [tracing()] });
      await app.send(Order, { sku: "tea" });
      assertEquals(tree(), ["process Order < send Order", "send Order < nothing"]);
      assertMatch(String(seen[0]), /^00-[\da-f]{32}-[\da-f]{16}-01$/);
    } finally {
      await telemetry.stop();
      telemetry = new Telemetry();
    }
  });
});

describe("tracing over NATS", await requireNatsServer(), () => {
  let server: NatsServer;
  before(async () => void (server = await startNatsServer()));
  after(() => server?.stop());

  it("one trace over four nodes", async () => {
    const apps = await chain({ nats: server.url });
    await ordered(apps);
    await Promise.all(apps.map((app) => app.drain()));
  });

  it("across the log", async () => {
    await logChain({ nats: server.url });
  });

  it("the call of a plain client is a child of the span in its headers", async () => {
    await using app = await catga({ nats: server.url, handlers: Price.handle(() => 1), behaviors: [tracing()] });
    const plain = await connect({ servers: server.url });
    try {
      const [traceId, parent] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
      const head = headers();
      head.set("traceparent", `00-${traceId}-${parent}-01`);
      await plain.request("catga.default.call.Price", '{"sku":"tea"}', { ...PATIENT, headers: head });
      const span = telemetry.span("process Price");
      assertEquals([span.spanContext().traceId, parentOf(span)], [traceId, parent]);
      assertEquals(span.attributes["messaging.client.id"], app.self.id);
    } finally {
      await plain.close();
    }
  });

  for (const runtime of OWN_RUNTIMES) {
    it(`one trace through another process and back, ${runtime}`, { timeout: 300_000 }, async () => {
      await using program = await startProgram<SpanLine>(runtime, "test/processes/traced_node.ts", [
        server.url,
        `far-${runtime}`,
      ]);
      await program.line(({ event }) => event === "ready");
      await using app = await catga({
        nats: server.url,
        id: "near",
        handlers: Rest.handle((text) => `the rest of ${text}`),
        behaviors: [tracing()],
      });
      await eventually("the other", () => app.nodes().length === 2);
      assertEquals((await app.send(Handoff, "tea")).value, `far-${runtime} then the rest of tea`);
      await program.line(({ name }) => name === "process Handoff");
      const all = [...telemetry.spans.map(lineOf), ...program.lines.filter(({ event }) => event === "span")];
      const parents = all.map(({ name, parent }) => `${name} < ${all.find(({ id }) => id === parent)?.name}`);
      assertEquals(parents.toSorted(), [
        "own work < process Handoff",
        "process Handoff < send Handoff",
        "process Rest < send Rest",
        "send Handoff < undefined",
        "send Rest < own work",
      ]);
      assertEquals(new Set(all.map(({ trace }) => trace)).size, 1);
    });
  }
});

describe("tracing without an SDK", () => {
  it("adds no headers, and changes nothing", async () => {
    await telemetry.stop();
    try {
      const seen: unknown[] = [];
      const handlers = Order.handle((_, ctx) => (seen.push({ ...ctx.headers }), "done"));
      await using app = await catga({ handlers, behaviors: [tracing()] });
      assertEquals(await app.send(Order, { sku: "tea" }), { ok: true, value: "done" });
      assertEquals(seen, [{}]);
    } finally {
      telemetry = new Telemetry();
    }
  });
});
