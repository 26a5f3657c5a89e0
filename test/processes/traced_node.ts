/**
 * A node that traces and hands a message on, until it is killed:
 *
 *   … test/processes/traced_node.ts <nats url> <id>
 *
 * It handles {@link Handoff} by sending {@link Rest} within a span of its own. Prints a line of JSON for each span that
 * has ended, and `{"event":"ready"}` when it is a node.
 *
 * @module
 */
import process from "node:process";
import { trace } from "@opentelemetry/api";
import { NodeTracerProvider, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { catga, command, query } from "@catga/catga";
import { tracing } from "@catga/catga/behaviors";

/** What the node handles. */
export const Handoff = command<string, string>("Handoff");
/** What it sends then. */
export const Rest = query<string, string>("Rest");

/** The fields of a span that link it to others. */
export interface SpanLine {
  readonly event: "ready" | "span";
  readonly name?: string;
  readonly trace?: string;
  readonly id?: string;
  readonly parent?: string | undefined;
  readonly kind?: number;
}

/** What is printed of a span. */
export function lineOf(span: ReadableSpan): SpanLine {
  const { traceId: trace, spanId: id } = span.spanContext();
  return { event: "span", name: span.name, trace, id, parent: span.parentSpanContext?.spanId, kind: span.kind };
}

if (import.meta.main) {
  const [nats, id] = process.argv.slice(2);
  const exporter = {
    export(spans: ReadableSpan[], done: (result: { code: number }) => void): void {
      for (const span of spans) console.log(JSON.stringify(lineOf(span)));
      done({ code: 0 });
    },
    shutdown: () => Promise.resolve(),
  };
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
  const handoff = Handoff.handle((text, ctx) =>
    trace.getTracer("own").startActiveSpan("own work", async (span) => {
      await new Promise((resolve) => setTimeout(resolve)); // the context outlives a turn of the event loop
      const rest = await ctx.send(Rest, text);
      span.end();
      return rest.ok ? `${id} then ${rest.value}` : rest;
    })
  );
  await catga({ nats, id, handlers: handoff, behaviors: [tracing()] });
  console.log(JSON.stringify({ event: "ready" } satisfies SpanLine));
}
