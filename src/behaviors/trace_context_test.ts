import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import * as otel from "@opentelemetry/api";
import { extract, inject, spanIdOf } from "./tracing.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

/**
 * Makes OpenTelemetry's API with a propagator that writes and reads one header of its own; with false, the propagator
 * has no headers.
 */
function api(propagates: boolean) {
  const baggage = otel.createContextKey("test");
  const propagation = {
    fields: () => propagates ? ["own"] : [],
    inject: (context: otel.Context, headers: Record<string, string>) =>
      void (headers.own = String(context.getValue(baggage))),
    extract: (context: otel.Context, headers: Record<string, string>) => context.setValue(baggage, headers.own),
  };
  return { baggage, api: { ...otel, propagation: propagation as unknown as typeof otel.propagation } };
}

describe("trace context without a propagator", () => {
  const { api: alone } = api(false);
  const context = (traceFlags: number) =>
    otel.trace.setSpanContext(otel.ROOT_CONTEXT, { traceId: TRACE, spanId: SPAN, traceFlags });

  it("is written as a traceparent with two digits of flags, and no other header", () => {
    for (const [flags, digits] of [[0, "00"], [1, "01"], [255, "ff"]] as const) {
      assertEquals({ ...inject(alone, context(flags)) }, { traceparent: `00-${TRACE}-${SPAN}-${digits}` });
    }
  });

  it("is read as that of a remote span, as it was written", () => {
    for (const traceFlags of [0, 1, 171]) {
      const read = otel.trace.getSpanContext(extract(alone, inject(alone, context(traceFlags))));
      assertEquals(read, { traceId: TRACE, spanId: SPAN, traceFlags, isRemote: true });
    }
  });

  it("is read from a later version, which may append fields; not from more fields in the span's or the flags' place", () => {
    assertEquals(spanIdOf({ traceparent: `01-${TRACE}-${SPAN}-01-what-comes-later` }), SPAN);
    assertEquals(spanIdOf({ traceparent: `cc-${TRACE}-${SPAN}-00` }), SPAN);
    assertEquals(spanIdOf({ traceparent: `01-${TRACE}-${SPAN}-01.later` }), undefined);
  });

  it("is the root context for headers without a valid traceparent", () => {
    const invalid = [
      ...["", "1", TRACE, `00-${TRACE}-${SPAN}`, `${TRACE}-${SPAN}-01`],
      `ff-${TRACE}-${SPAN}-01`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${TRACE.slice(1)}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}0-01`,
      `00-${TRACE}-${SPAN}-1`,
      `00-${TRACE}-${SPAN}-011`,
      `00-${TRACE}-${SPAN}-01-`,
      `00-${TRACE}-${SPAN}-01-what-no-version-00-has`,
      ` 00-${TRACE}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-01\n`,
    ];
    for (const traceparent of invalid) {
      assertStrictEquals(extract(alone, { traceparent }), otel.ROOT_CONTEXT, JSON.stringify(traceparent));
      assertEquals(spanIdOf({ traceparent }), undefined);
    }
    assertStrictEquals(extract(alone, {}), otel.ROOT_CONTEXT);
    assertEquals([spanIdOf(undefined), spanIdOf({})], [undefined, undefined]);
  });
});

describe("trace context with a propagator", () => {
  it("is written and read by the propagator alone", () => {
    const { baggage, api: registered } = api(true);
    const context = otel.ROOT_CONTEXT.setValue(baggage, "north");
    assertEquals({ ...inject(registered, context) }, { own: "north" });
    const read = extract(registered, { own: "south", traceparent: `00-${TRACE}-${SPAN}-01` });
    assertEquals([read.getValue(baggage), otel.trace.getSpanContext(read)], ["south", undefined]);
  });
});
