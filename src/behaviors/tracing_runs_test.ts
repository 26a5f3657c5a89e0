/** Tests of the spans of workflow runs: with versions 2 and 3 of OpenTelemetry's SDK, in memory and over NATS. */
import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { assert, assertEquals } from "@std/assert";
import { after, before, beforeEach, describe, it } from "node:test";
import { catga, command, fail, query, unwrap, workflow } from "../../mod.ts";
import { OWN_RUNTIMES, startProgram } from "../../test/processes/node_process.ts";
import { lineOf, Rest, type SpanLine, Trip, trip } from "../../test/processes/traced_node.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { Telemetry } from "../../test/support/telemetry.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { MemoryNetwork, testCluster } from "../testing/mod.ts";
import { tracing } from "./mod.ts";

const Pay = query<void, number>("Pay");
const pay = Pay.handle(() => 420);
const Trace = query<void, string | undefined>("Trace");
const Tea = workflow<{ fails: boolean }, number, "COLD">("Tea");
const Cup = workflow<void, number>("Cup");
const Order = command<{ fails: boolean }, string>("Order");

const cup = Cup.handle((flow) => flow.step("pour", () => 1));
const tea = Tea.handle(async (flow, { fails }) => {
  let isFirst = true;
  await flow.step("boil", ({ attempt }) => {
    if (isFirst && attempt === 1) throw new TypeError("no water");
    isFirst = false;
    return trace.getTracer("own").startActiveSpan("own work", (span) => span.end());
  }, { undo: () => {}, retry: { delay: [1, 1] } });
  const paid = await flow.send(Pay);
  await flow.send(Cup);
  return fails ? fail("COLD", "it is cold") : paid.value!;
});
const order = Order.handle(async (input, ctx) => unwrap(await ctx.start(Tea, input)));
const handlers = [pay, cup, tea, order];

/** Returns each span as `name < parent`, or, if it has no parent but a link, as `name ~ linked span`, sorted. */
function treeOf(lines: readonly SpanLine[]): readonly string[] {
  const nameOf = (id: string | undefined) => lines.find((line) => line.id === id)?.name ?? "nothing";
  return lines.map(({ name, parent, links = [] }) =>
    parent === undefined && links.length > 0 ? `${name} ~ ${links.map(nameOf)}` : `${name} < ${nameOf(parent)}`
  ).sort();
}

const RUN = [
  "end Cup < run Cup",
  "end Tea < run Tea",
  "own work < step boil",
  "process Pay < send Pay",
  "run Cup < run Tea",
  "send Pay < step Pay",
  "step Pay < run Tea",
  "step boil < run Tea",
  "step boil < run Tea",
  "step pour < run Cup",
];
/** Spans of a run whose first node dies in its second step. */
const TRIP = [
  "end Trip < run Trip",
  "process Rest < send Rest",
  "run Trip ~ start Trip",
  "send Rest < step Rest",
  "start Trip < nothing",
  "step Rest < run Trip",
  "step fly < run Trip",
];
const ORDERED = [
  "process Order < send Order",
  "run Tea ~ start Tea",
  "send Order < nothing",
  "start Tea < process Order",
];

/** Has a handler of a command start a run, on two nodes that both trace, and asserts the spans. */
async function ordered(spans: () => readonly ReadableSpan[], fails: boolean): Promise<void> {
  const options = { network: new MemoryNetwork(), behaviors: [tracing()], logger: QUIET };
  await using _node = await catga({ ...options, id: "node", handlers });
  await using app = await catga({ ...options, id: "app" });
  const run = unwrap(await app.send(Order, { fails }));
  const result = await app.result(Tea, run);
  assertEquals(result.ok ? result.value : result.error.code, fails ? "COLD" : 420);
  const more = fails ? ["undo boil < run Tea"] : [];
  const expected = [...RUN, ...ORDERED, ...more].sort();
  await eventually("all spans to end", () => spans().length >= expected.length);
  assertEquals(treeOf(spans().map(lineOf)), expected);
  // there are two traces: of the request, and of the workflow's run
  assertEquals(new Set(spans().map((span) => span.spanContext().traceId)).size, 2);
}

describe("tracing() of a workflow", () => {
  let telemetry: Telemetry;
  before(() => void (telemetry = new Telemetry()));
  beforeEach(() => telemetry.forget());
  after(() => telemetry.stop());

  it("a run has a trace of its own, linked to the span of its start; its steps and children are in it", async () => {
    await ordered(() => telemetry.spans, false);
    const first = telemetry.spans.find(({ name }) => name === "step boil")!;
    assertEquals([first.status.code, first.attributes["error.type"]], [SpanStatusCode.ERROR, "TypeError"]);
    const attempts = telemetry.spans.filter(({ name }) => name === "step boil").map((span) => span.attributes);
    assertEquals(attempts.map((each) => each["catga.attempt"]), [1, 2]);
    const { attributes, status } = telemetry.span("end Tea");
    const run = telemetry.span("run Tea").attributes["catga.run"];
    assertEquals([attributes["catga.run"], attributes["messaging.client.id"], status.code], [
      run,
      "node",
      SpanStatusCode.UNSET,
    ]);
    assertEquals(telemetry.span("start Tea").attributes["catga.run"], run);
  });

  it("a run that fails has the failure at its end, and its undos are spans, too", async () => {
    await ordered(() => telemetry.spans, true);
    const { status, attributes, startTime } = telemetry.span("end Tea");
    assertEquals([status, attributes["error.type"]], [{ code: SpanStatusCode.ERROR, message: "it is cold" }, "COLD"]);
    const [began, ended] = [telemetry.span("run Tea").startTime, telemetry.span("undo boil").endTime];
    const ms = ([s, ns]: readonly [number, number]) => s * 1_000 + ns / 1e6;
    assert(ms(startTime) <= ms(ended) && Math.abs(ms(startTime) - ms(began)) < 60_000);
  });

  it("a run that a span of the program starts is linked to its start, also at a time; another start of it has no span", async () => {
    await using app = await catga({ handlers, behaviors: [tracing()], logger: QUIET });
    await trace.getTracer("own").startActiveSpan("request", async (span) => {
      unwrap(await app.start(Cup, undefined, { id: "later", at: new Date(Date.now() + 200) }));
      unwrap(await app.start(Cup, undefined, { id: "now" }));
      unwrap(await app.start(Cup, undefined, { id: "now" }));
      span.end();
    });
    await eventually("both ends", () => telemetry.spans.filter(({ name }) => name === "end Cup").length === 2);
    const [one, run] = ["end Cup < run Cup", "run Cup ~ start Cup"];
    const start = "start Cup < request";
    const expected = [one, one, "request < nothing", run, run, start, start, start, "step pour < run Cup"];
    assertEquals(treeOf(telemetry.spans.map(lineOf)), [...expected, "step pour < run Cup"]);
  });

  it("a start that fails sets the status of its span, and makes no run", async () => {
    await using app = await catga({ handlers, behaviors: [tracing()], logger: QUIET });
    unwrap(await app.start(Tea, { fails: false }, { id: "one" }));
    telemetry.forget();
    assertEquals((await app.start(Tea, { fails: true }, { id: "one" })).error?.code, "ID_REUSED");
    const { status, attributes } = telemetry.span("start Tea");
    assertEquals([status.code, attributes["error.type"]], [SpanStatusCode.ERROR, "ID_REUSED"]);
    assertEquals(telemetry.spans.some(({ name }) => name === "run Tea"), false);
    await app.result(Tea, "one");
  });

  it("a node that is killed between the steps: those of the next node are in the same trace", async () => {
    const begun = Promise.withResolvers<void>();
    const isStuck = { first: true };
    const handler = trip(async () => {
      if (!isStuck.first) return "at last";
      isStuck.first = false;
      begun.resolve();
      return await new Promise(() => {});
    });
    const rest = Rest.handle((text) => text);
    await using cluster = await testCluster(["far"], {
      handlers: [handler, rest],
      behaviors: [tracing()],
      logger: QUIET,
    });
    const run = unwrap(await cluster.app("far").start(Trip));
    await begun.promise;
    await cluster.start("near");
    cluster.kill("far");
    let result: unknown;
    void cluster.app("near").result(Trip, run, { timeout: 600_000 }).then((value) => result = value);
    while (result === undefined) await cluster.advance(100);
    assertEquals(result, { ok: true, value: "tea at last" });
    assertEquals(treeOf(telemetry.spans.map(lineOf)), TRIP);
  });

  it("without an SDK nothing is added", async () => {
    await telemetry.stop();
    try {
      const Bare = workflow<void, readonly unknown[]>("Bare");
      const bare = Bare.handle(async (flow) => [flow.headers, (await flow.send(Trace)).value]);
      const seen = Trace.handle((_, ctx) => ctx.headers.traceparent);
      await using app = await catga({ handlers: [bare, seen], behaviors: [tracing()], logger: QUIET });
      assertEquals(unwrap(await app.result(Bare, unwrap(await app.start(Bare)))), [{}, undefined]);
    } finally {
      telemetry = new Telemetry();
    }
  });
});

describe("tracing() of a workflow with SDK 3", () => {
  it("a run has a trace of its own, linked to the span of its start; its steps and children are in it", async () => {
    const exporter = new InMemorySpanExporter();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager());
    trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
    try {
      await ordered(() => exporter.getFinishedSpans() as unknown as ReadableSpan[], true);
    } finally {
      for (const api of [trace, context]) api.disable(); // other test files run in this process in Bun
    }
  });
});

describe("tracing() of a workflow over NATS", await requireNatsServer(), () => {
  for (const runtime of OWN_RUNTIMES) {
    it(`a process that is killed between the steps: those of the next are in the same trace, ${runtime}`, {
      timeout: 300_000,
    }, async () => {
      const telemetry = new Telemetry();
      try {
        await using server = await startNatsServer();
        await using far = await startProgram<SpanLine>(runtime, "test/processes/traced_node.ts", [server.url, "far"]);
        await far.line(({ event }) => event === "ready");
        const options = { nats: server.url, behaviors: [tracing()], logger: QUIET };
        await using client = await catga({ ...options, id: "client", handlers: Rest.handle((text) => text) });
        await eventually("the other", () => client.nodes().length === 2);
        const run = unwrap(await client.start(Trip));
        await far.line(({ event }) => event === "last");
        await far.line(({ name }) => name === "step Rest");
        await using _near = await catga({
          ...options,
          id: "near",
          handlers: trip(() => Promise.resolve("at last")),
        });
        far.kill("SIGKILL");
        assertEquals(unwrap(await client.result(Trip, run, { timeout: 120_000 })), "tea at last");
        await eventually("its end", () => telemetry.spans.some(({ name }) => name === "end Trip"));
        const all = [...telemetry.spans.map(lineOf), ...far.lines.filter(({ event }) => event === "span")];
        assertEquals(treeOf(all), TRIP);
      } finally {
        await telemetry.stop();
      }
    });
  }
});
