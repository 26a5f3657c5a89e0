/** The SDK of OpenTelemetry, registered for one test file; spans and metrics are kept in memory. */
import { context, metrics, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { type ReadableSpan, TracerProvider } from "@opentelemetry/sdk-trace";

/** Collects when it is asked to: readers of the SDK that export have a timer. */
class Reader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** A registered SDK, which sets no timer. */
export class Telemetry {
  #spans: ReadableSpan[] = [];
  readonly #reader = new Reader();

  constructor() {
    const keeping = {
      onStart: () => {},
      // exporters of the SDK call back by a timer
      onEnd: (span: ReadableSpan) => void this.#spans.push(span),
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    const propagators = [new W3CTraceContextPropagator(), new W3CBaggagePropagator()];
    propagation.setGlobalPropagator(new CompositePropagator({ propagators }));
    context.setGlobalContextManager(new AsyncLocalStorageContextManager());
    trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [keeping] }));
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [this.#reader] }));
  }

  /** The spans that have ended since {@link Telemetry.forget}, in that order. */
  get spans(): ReadableSpan[] {
    return [...this.#spans];
  }

  /** The span of this name, of which there is one. */
  span(name: string): ReadableSpan {
    const found = this.spans.filter((span) => span.name === name);
    if (found.length === 1) return found[0];
    throw new Error(`${found.length} spans are called ${name}; all: ${this.spans.map((span) => span.name).join(", ")}`);
  }

  /** Forgets the spans. */
  forget(): void {
    this.#spans = [];
  }

  /** What the metric has now: attributes and value, of a histogram how often. */
  async points(name: string): Promise<{ attributes: Record<string, unknown>; value: number }[]> {
    const { scopeMetrics } = (await this.#reader.collect()).resourceMetrics;
    const all = scopeMetrics.flatMap(({ metrics }) => metrics);
    const metric = all.find(({ descriptor }) => descriptor.name === name);
    return (metric?.dataPoints ?? []).map(({ attributes, value }) => ({
      attributes: { ...attributes },
      value: typeof value === "number" ? value : value.count,
    }));
  }

  /** Takes the SDK away: other test files run in this process, in Bun. */
  async stop(): Promise<void> {
    await this.#reader.shutdown();
    for (const api of [trace, context, propagation, metrics]) api.disable();
  }
}
