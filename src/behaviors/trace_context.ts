/**
 * How a trace travels in the headers of a message: as the propagator that was registered has it, and where none was, by W3C
 * Trace Context, so that a trace that is exported is linked in any case.
 */
import type { Context, SpanContext } from "@opentelemetry/api";

type Api = typeof import("@opentelemetry/api");
type Headers = Readonly<Record<string, string>>;

/** The context that came with a message; the root context when none did. */
export function extract({ propagation, trace, ROOT_CONTEXT }: Api, headers: Headers): Context {
  if (propagation.fields().length > 0) return propagation.extract(ROOT_CONTEXT, headers);
  const remote = read(headers.traceparent);
  return remote === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote);
}

/** The headers that carry a context on. */
export function inject({ propagation, trace }: Api, context: Context): Headers {
  const headers: Record<string, string> = {};
  if (propagation.fields().length > 0) {
    propagation.inject(context, headers);
  } else {
    const { traceId, spanId, traceFlags } = trace.getSpanContext(context)!;
    headers.traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
  }
  return headers;
}

/** The id of the span that headers name as parent. */
export function spanIdOf(headers: Headers | undefined): string | undefined {
  return read(headers?.traceparent)?.spanId;
}

/** https://www.w3.org/TR/trace-context/#traceparent-header; what a later version appends is passed over. */
function read(traceparent: string | undefined): SpanContext | undefined {
  const found = traceparent?.match(
    /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(?:$|-)/,
  );
  if (!found) return undefined;
  const [, traceId, spanId, flags] = found;
  return { traceId, spanId, traceFlags: parseInt(flags, 16), isRemote: true };
}
