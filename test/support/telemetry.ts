/** The SDK of OpenTelemetry, registered for one test file; spans and metrics are kept in memory. */
import { context, metrics, propagation, trace } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-node";

/** A registered SDK. */
export class Telemetry {
  readonly #spans = new InMemorySpanExporter();
  readonly #metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  readonly #reader = new PeriodicExportingMetricReader({ exporter: this.#metrics, exportIntervalMillis: 3_600_000 });

  constructor() {
    new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(this.#spans)] }).register();
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [this.#reader] }));
  }

  /** The spans that have ended since {@link Telemetry.forget}, in that order. */
  get spans(): ReadableSpan[] {
    return this.#spans.getFinishedSpans();
  }

  /** The span of this name, of which there is one. */
  span(name: string): ReadableSpan {
    const found = this.spans.filter((span) => span.name === name);
    if (found.length === 1) return found[0];
    throw new Error(`${found.length} spans are called ${name}; all: ${this.spans.map((span) => span.name).join(", ")}`);
  }

  /** Forgets the spans. */
  forget(): void {
    this.#spans.reset();
  }

  /** What the metric has now: attributes and value, of a histogram how often. */
  async points(name: string): Promise<{ attributes: Record<string, unknown>; value: number }[]> {
    this.#metrics.reset();
    await this.#reader.forceFlush();
    const all = this.#metrics.getMetrics().flatMap(({ scopeMetrics }) =>
      scopeMetrics.flatMap(({ metrics }) => metrics)
    );
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
