/** The headers that carry a trace: W3C Trace Context and Baggage. */
export const TRACE_HEADERS: readonly string[] = Object.freeze(["traceparent", "tracestate", "baggage"]);
