/**
 * The trace context in the headers of a message: written and read by the registered propagator; without one, by W3C
 * Trace Context, so that exported traces are linked in any case.
 */
import type { Context, SpanContext } from "@opentelemetry/api";
import { TRACE_HEADERS } from "../contract/send_options.ts";

type Api = typeof import("@opentelemetry/api");
type Headers = Readonly<Record<string, string>>;

/** The trace context of these headers; the root context if they have none. */
export function extract({ propagation, trace, ROOT_CONTEXT }: Api, headers: Headers): Context {
  if (propagation.fields().length > 0) return propagation.extract(ROOT_CONTEXT, headers);
  const remote = read(headers[TRACEPARENT]);
  return remote === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote);
}

/** The headers for a trace context. */
export function inject({ propagation, trace }: Api, context: Context): Headers {
  const headers: Record<string, string> = {};
  if (propagation.fields().length > 0) {
    propagation.inject(context, headers);
  } else {
    const { traceId, spanId, traceFlags } = trace.getSpanContext(context)!;
    headers[TRACEPARENT] = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
  }
  return headers;
}

/** The id of the parent span in these headers. */
export function spanIdOf(headers: Headers | undefined): string | undefined {
  return read(headers?.[TRACEPARENT])?.spanId;
}

const [TRACEPARENT] = TRACE_HEADERS;

/**
 * https://www.w3.org/TR/trace-context/#traceparent-header; version 00 ends with the flags, what a later one appends is
 * ignored.
 */
function read(traceparent: string | undefined): SpanContext | undefined {
  const found = traceparent?.match(
    /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(?:$|(-))/,
  );
  if (!found) return undefined;
  const [, version, traceId, spanId, flags, more] = found;
  if (version === "00" && more !== undefined) return undefined;
  return { traceId, spanId, traceFlags: parseInt(flags, 16), isRemote: true };
}
