/** Tests of the async context and the trace in which handlers run that an HTTP request has called. */
import { ROOT_CONTEXT, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { assertEquals } from "@std/assert";
import { AsyncLocalStorage } from "node:async_hooks";
import { after, before, describe, it } from "node:test";
import { catga, query, stream } from "../../mod.ts";
import { tracing } from "../behaviors/mod.ts";
import { Telemetry } from "../../test/support/telemetry.ts";
import { edge, events } from "./mod.ts";

const user = new AsyncLocalStorage<string>();
const Who = query<void, string>("Who");
const Rows = stream<void, string>("Rows");
const api = edge({ who: Who, rows: [Rows, { resume: { id: () => `${user.getStore()}`, from: (input) => input } }] });
const turn = () => new Promise<void>((resolve) => setTimeout(resolve));
const handlers = [
  Who.handle(() => `${user.getStore()}`),
  Rows.handle(async function* () {
    for (let n = 0; n < 3; n++) {
      await turn();
      yield `${user.getStore()}`;
    }
  }),
];
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PAGE_SPAN = "b7ad6b7169203331";
const PAGE = { traceparent: `00-${TRACE}-${PAGE_SPAN}-01`, tracestate: "vendor=1", baggage: "tenant=other" };

/** The data and ids of server-sent events, as somebody reads them in another async context. */
async function readElsewhere(response: Response): Promise<string[]> {
  const text = await user.run("reader", () => response.text());
  return [...text.matchAll(/^(?:id|data): (.+)$/gm)].map(([, found]) => JSON.parse(found.replace(/^(\w+)$/, '"$1"')));
}

describe("the async context of an HTTP request", () => {
  for (const authorize of [() => undefined, () => Promise.resolve(undefined)]) {
    it(`is that of the handlers that it calls, and of the ids of items: authorize ${authorize}`, async () => {
      await using app = await catga({ handlers });
      const handle = edge({ who: Who }).handler(app, { authorize });
      const streams = api.handler(app, { authorize });
      const who = await user.run("ann", () => handle(new Request("http://localhost/who")));
      assertEquals(await who.json(), "ann");
      const rows = await user.run("ann", () => streams(new Request("http://localhost/rows")));
      assertEquals(await readElsewhere(rows), Array(6).fill("ann"));
    });
  }

  it("is that of a stream given to events, with a signal and without (it was that of the body's reader)", async () => {
    await using app = await catga({ handlers });
    const { signal } = new AbortController();
    const made = user.run("ann", () => [
      events(app.stream(Rows), { id: () => `${user.getStore()}` }),
      events(app.stream(Rows, undefined, { signal }), { signal, id: () => `${user.getStore()}` }),
    ]);
    for (const response of made) assertEquals(await readElsewhere(response), Array(6).fill("ann"));
  });
});

describe("the trace of a page", () => {
  let telemetry: Telemetry;
  before(() => void (telemetry = new Telemetry()));
  after(() => telemetry.stop());
  const parentOf = (span: ReadableSpan) => span.parentSpanContext?.spanId;

  it("goes on in the handlers that its requests call, without its baggage", async () => {
    const Headers = query<void, Record<string, string>>("Headers");
    const Items = stream<void, Record<string, string>>("Items");
    const both = edge({ headers: Headers, items: Items });
    await using app = await catga({
      handlers: [
        Headers.handle((_, { headers }) => ({ ...headers })),
        Items.handle(function* (_, { headers }) {
          yield { ...headers };
        }),
      ],
      behaviors: [tracing()],
    });
    const handle = both.handler(app, { authorize: () => undefined });
    for (const path of ["headers", "items"]) {
      telemetry.forget();
      const text = await (await handle(new Request(`http://localhost/${path}`, { headers: PAGE }))).text();
      assertEquals([text.includes(TRACE), text.includes("tenant")], [true, false], text);
      const send = telemetry.spans.find(({ name }) => /^(?:send|stream) /.test(name))!;
      assertEquals([send.spanContext().traceId, parentOf(send)], [TRACE, PAGE_SPAN]);
    }
  });

  it("does not hide the span that the server has begun for the request in that trace", async () => {
    await using app = await catga({ handlers, behaviors: [tracing()] });
    const handle = api.handler(app, { authorize: () => undefined });
    const page = trace.setSpanContext(ROOT_CONTEXT, {
      traceId: TRACE,
      spanId: PAGE_SPAN,
      traceFlags: 1,
      isRemote: true,
    });
    telemetry.forget();
    await trace.getTracer("server").startActiveSpan("GET", {}, page, async (span) => {
      await handle(new Request("http://localhost/who", { headers: PAGE }));
      assertEquals(parentOf(telemetry.span("send Who")), span.spanContext().spanId);
      span.end();
    });
  });

  it("is not passed on if it is no text of a trace", async () => {
    const Headers = query<void, string[]>("Headers");
    await using app = await catga({ handlers: Headers.handle((_, { headers }) => Object.keys(headers)) });
    const handle = edge({ headers: Headers }).handler(app, { authorize: () => undefined });
    for (const traceparent of ["", "x", `00-${"a".repeat(300)}`, "00-ab\tc", "00-é"]) {
      assertEquals(
        await (await handle(new Request("http://localhost/headers", { headers: { traceparent } }))).json(),
        [],
      );
    }
  });
});
