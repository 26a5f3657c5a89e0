/** Tests of `tracing()` between two nodes, with the processor and exporter of the SDK. */
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, query, unwrap } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { tracing } from "./mod.ts";

describe("tracing() between two nodes", () => {
  it("makes one trace over two nodes: each span is the child of the one before it", async () => {
    const exporter = new InMemorySpanExporter();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager());
    trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
    try {
      const Price = query<void, number>("Price");
      const Tax = query<void, number>("Tax");
      const options = { network: new MemoryNetwork(), behaviors: [tracing()] };
      const handlers = [Price.handle(async (_, ctx) => 400 + unwrap(await ctx.send(Tax))), Tax.handle(() => 20)];
      await using _node = await catga({ ...options, id: "node", handlers });
      await using app = await catga({ ...options, id: "app" });
      assertEquals(unwrap(await app.send(Price)), 420);
      await eventually("all spans to end", () => exporter.getFinishedSpans().length === 4);
      const spans = exporter.getFinishedSpans();
      const parentOf = (name: string) => {
        const parent = spans.find((span) => span.name === name)?.parentSpanContext?.spanId;
        return spans.find((span) => span.spanContext().spanId === parent)?.name;
      };
      assertEquals(["process Tax", "send Tax", "process Price", "send Price"].map(parentOf), [
        "send Tax",
        "process Price",
        "send Price",
        undefined,
      ]);
      assertEquals(new Set(spans.map((span) => span.spanContext().traceId)).size, 1);
    } finally {
      for (const api of [trace, context]) api.disable(); // other test files run in this process in Bun
    }
  });
});
