/**
 * A node that traces and hands a message on, until it is killed:
 *
 *   … test/processes/traced_node.ts <nats url> <id>
 *
 * It handles {@link Handoff} by sending {@link Rest} within a span of its own, and drives runs of {@link Trip}, whose
 * last step it never ends. Prints a line of JSON for each span that has ended, `{"event":"ready"}` when it is a node,
 * and `{"event":"last"}` when the last step of a run has begun.
 *
 * @module
 */
import process from "node:process";
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { catga, command, type Handler, query, workflow } from "@catga/catga";
import { tracing } from "@catga/catga/behaviors";

/** What the node handles. */
export const Handoff = command<string, string>("Handoff");
/** What it sends then. */
export const Rest = query<string, string>("Rest");

/** A workflow of two steps. */
export const Trip = workflow<void, string>("Trip");

/** Its handler: `last` is the work of its last step. */
export function trip(last: () => Promise<string>): Handler {
  return Trip.handle(async (flow) => {
    const rest = await flow.send(Rest, "tea");
    return await flow.step("fly", async () => `${rest.value} ${await last()}`, { retry: { delay: [1, 10] } });
  });
}

/** The fields of a span that link it to others. */
export interface SpanLine {
  readonly event: "ready" | "span" | "last";
  readonly name?: string;
  readonly trace?: string;
  readonly id?: string;
  readonly parent?: string | undefined;
  readonly kind?: number;
  /** The ids of the spans that it is linked to. */
  readonly links?: readonly string[];
}

/** What is printed of a span. */
export function lineOf(span: ReadableSpan): SpanLine {
  const { traceId: trace, spanId: id } = span.spanContext();
  const links = span.links.map(({ context }) => context.spanId);
  return { event: "span", name: span.name, trace, id, parent: span.parentSpanContext?.spanId, kind: span.kind, links };
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
  context.setGlobalContextManager(new AsyncLocalStorageContextManager());
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
  const handoff = Handoff.handle((text, ctx) =>
    trace.getTracer("own").startActiveSpan("own work", async (span) => {
      await new Promise((resolve) => setTimeout(resolve)); // the context outlives a turn of the event loop
      const rest = await ctx.send(Rest, text);
      span.end();
      return rest.ok ? `${id} then ${rest.value}` : rest;
    })
  );
  const never = trip(() => {
    console.log(JSON.stringify({ event: "last" } satisfies SpanLine));
    return new Promise(() => {});
  });
  await catga({ nats, id, handlers: [handoff, never], behaviors: [tracing()] });
  console.log(JSON.stringify({ event: "ready" } satisfies SpanLine));
}
