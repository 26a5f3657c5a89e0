import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, event, fail, query, stream, unwrap, workflow } from "../../mod.ts";
import { deny, edge } from "../http/mod.ts";
import { categorySubject, logSubjects } from "../log/format/names.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { consoleErrors } from "../../test/support/console_errors.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { client, ClientError } from "./mod.ts";

interface Order {
  readonly sku: string;
  readonly on: Date;
  readonly cents: bigint;
}

const Create = command<Order, { id: string; on: Date }, "SOLD_OUT">("Create", { idempotent: true });
const List = query<{ sku?: string } | undefined, Map<string, Order>>("List");
const Who = query<void, unknown>("Who", { meta: { role: "admin" } });
const Count = stream<{ from: number; to: number }, number, "TOO_FAR">("Count", {
  resume: (input, last) => ({ ...input, from: (last ?? input.from - 1) + 1 }),
});
const Letters = stream<string, string>("Letters");
const Placed = event<{ n: number; at: Date }>("Placed", { durable: true, key: ({ n }) => `${n % 2}` });
const Checkout = workflow<{ order: string }, { receipt: bigint }, "DECLINED">("Checkout");
const Approved = Checkout.signal<{ by: string }>("Approved");

export const api = edge({
  create: [Create, { failures: { SOLD_OUT: 409 } }],
  list: [List, { cache: "private, max-age=5" }],
  who: Who,
  count: Count,
  letters: Letters,
  placed: Placed,
  checkout: [Checkout, { tell: { approved: Approved }, cancel: true }],
});

let created = 0;
const handlers = [
  Create.handle(({ sku, on }) => {
    if (sku === "none") return fail("SOLD_OUT", "no tea", { details: { until: new Date(7) } });
    return { id: `${sku}-${++created}`, on };
  }),
  List.handle((input) => new Map([[input?.sku ?? "all", { sku: "tea", on: new Date(1), cents: 5n }]])),
  Who.handle((_, ctx) => ctx.caller),
  Count.handle(async function* ({ from, to }) {
    for (let n = from; n <= to; n++) yield n;
    if (to > 5) return fail("TOO_FAR", `cannot count to ${to}`);
  }),
  Letters.handle(function* (word) {
    yield* word;
  }),
  Checkout.handle(async (flow, { order }) => {
    const approved = await flow.wait(Approved);
    return approved.by === "nobody"
      ? fail("DECLINED", `${order} is declined`)
      : { receipt: BigInt(approved.by.length) };
  }),
];

/** A server in this process, with a `fetch` whose responses can be cut off. */
class Wire {
  readonly urls: string[] = [];
  /** `cutAfter`: number of bytes after which a response is cut off; `cuts`: number of responses to cut off. */
  cutAfter = 0;
  cuts = 0;

  constructor(readonly handle: (request: Request) => Promise<Response>) {}

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    this.urls.push(`${init.method} ${url}`);
    const response = await this.handle(new Request(url, init));
    if (this.cuts === 0 || response.body === null) return response;
    this.cuts--;
    let left = this.cutAfter;
    const cut = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, to) {
        left -= chunk.length;
        if (left < 0) return to.error(new TypeError("the connection is lost"));
        to.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(cut), response);
  };
}

async function start(network?: MemoryNetwork) {
  const app = await catga({ logger: QUIET, handlers, network });
  const handle = api.handler(app, {
    base: "/api",
    authorize: (request, { meta }) => {
      const user = request.headers.get("authorization");
      if (meta?.role === "admin" && user !== "ada") return deny(403);
      return user === "nobody" ? deny(401) : { id: user ?? "ann" };
    },
    identify: ({ id }) => id,
  });
  const wire = new Wire(handle);
  const shop = client<typeof api>("http://shop.example/api/", { fetch: wire.fetch, pause: [1, 10] });
  const asUser = (authorization: string) =>
    client<typeof api>("http://shop.example/api", { fetch: wire.fetch, headers: { authorization } });
  return { app, wire, shop, asUser, [Symbol.asyncDispose]: () => app.drain() };
}

describe("client", () => {
  it("commands and queries: values arrive as what they were, failures with their code and details", async () => {
    await using setup = await start();
    const { shop, wire } = setup;
    const order = { sku: "tea", on: new Date(5), cents: 9n };
    const made = unwrapped(await shop.create.send(order));
    assertEquals([made.on, made.id.startsWith("tea-")], [new Date(5), true]);
    const { error } = await shop.create.send({ ...order, sku: "none" });
    assert(error instanceof ClientError);
    assertEquals([error.code, error.message, error.status, error.details], [
      "SOLD_OUT",
      "no tea",
      409,
      { until: new Date(7) },
    ]);
    assertEquals(unwrapped(await shop.list.query()), new Map([["all", { sku: "tea", on: new Date(1), cents: 5n }]]));
    assertEquals([...unwrapped(await shop.list.query({ sku: "x" })).keys()], ["x"]);
    assert(wire.urls.at(-1)!.startsWith("GET http://shop.example/api/list?input="), wire.urls.at(-1));
  });

  it("an id has a command run once, for each caller", async () => {
    await using setup = await start();
    const order = { sku: "cup", on: new Date(5), cents: 9n };
    const [first, again] = [
      await setup.shop.create.send(order, { id: "a" }),
      await setup.shop.create.send(order, { id: "a" }),
    ];
    assertEquals(unwrapped(first), unwrapped(again));
    assert(unwrapped(await setup.asUser("bob").create.send(order, { id: "a" })).id !== unwrapped(first).id);
    assertEquals((await setup.shop.create.send({ ...order, sku: "x" }, { id: "a" })).error?.code, "ID_REUSED");
  });

  it("the caller reaches handlers; who may not, is refused before anything runs", async () => {
    await using setup = await start();
    assertEquals(unwrapped(await setup.asUser("ada").who.query()), { id: "ada" });
    assertEquals((await setup.shop.who.query()).error?.code, "FORBIDDEN");
    const { error } = await setup.asUser("nobody").list.query();
    assertEquals([error?.code, error?.status], ["UNAUTHORIZED", 401]);
  });

  it("streams: items in order, failures behind them, and over lost connections each item once", async () => {
    await using setup = await start();
    const { shop, wire } = setup;
    assertEquals(await collected(shop.count.stream({ from: 1, to: 5 })), [1, 2, 3, 4, 5]);
    const far: number[] = [];
    const error = await assertRejects(
      async () => {
        for await (const n of shop.count.stream({ from: 4, to: 6 })) far.push(n);
      },
      ClientError,
      "cannot count to 6",
    );
    assertEquals([error.code, far], ["TOO_FAR", [4, 5, 6]]);
    for (let bytes = 4; bytes < 90; bytes++) {
      [wire.cutAfter, wire.cuts] = [bytes, 3];
      assertEquals(await collected(shop.count.stream({ from: 1, to: 5 })), [1, 2, 3, 4, 5], `cut after ${bytes} bytes`);
    }
    wire.cuts = 0;
  });

  it("a stream that cannot go on ends with STREAM_BROKEN, and the number of items that came", async () => {
    await using setup = await start();
    [setup.wire.cutAfter, setup.wire.cuts] = [40, 1];
    const error = await assertRejects(() => collected(setup.shop.letters.stream("assam")), ClientError);
    assertEquals([error.code, (error.details as { received: number }).received > 0], ["STREAM_BROKEN", true]);
  });

  it("a durable event is followed from the start, a position, now and by key; over lost connections each once", async () => {
    await using setup = await start();
    const { shop, wire, app } = setup;
    for (let n = 1; n <= 6; n++) unwrap(await app.publish(Placed, { n, at: new Date(n) }));
    const all: { position: number; n: number }[] = [];
    [wire.cutAfter, wire.cuts] = [300, 4];
    for await (const { position, payload, stored, key } of shop.placed.follow({ from: "start" })) {
      assertEquals([payload.at, stored instanceof Date, key], [new Date(payload.n), true, `${payload.n % 2}`]);
      all.push({ position, n: payload.n });
      if (all.length === 6) break;
    }
    assertEquals(all.map(({ n }) => n), [1, 2, 3, 4, 5, 6]);
    assert(wire.urls.length > 1);
    const behind = shop.placed.follow({ from: all[3].position, key: "1" });
    assertEquals((await behind.next()).value?.payload.n, 5);
    await behind.return?.();
  });

  it("a tail whose place expired while its page slept ends with LOG_MISMATCH, and does not skip events", async () => {
    const network = new MemoryNetwork();
    await using setup = await start(network);
    const { wire, app } = setup;
    const publish = async (n: number) => unwrap(await app.publish(Placed, { n, at: new Date(n) }));
    for (let n = 1; n <= 6; n++) await publish(n);
    const log = await network.log.open("catga_default_log", {
      subjects: logSubjects("default"),
      replicas: 1,
      schedules: true,
    });
    let requests = 0;
    const shop = client<typeof api>("http://shop.example/api", {
      pause: [1, 2],
      fetch: async (...request) => {
        if (++requests === 2) {
          await log.purge(categorySubject("default", "Placed"));
          await publish(7);
        }
        return wire.fetch(...request);
      },
    });
    [wire.cutAfter, wire.cuts] = [300, 1];
    const had: number[] = [];
    const read = async () => {
      for await (const { payload } of shop.placed.follow({ from: "start" })) had.push(payload.n);
    };
    const error = await assertRejects(read, ClientError);
    assertEquals([error.code, error.status, requests, had.includes(7)], ["LOG_MISMATCH", 503, 2, false]);
    assert(had.length > 0);
  });

  it("workflows: start, what it waits for, signals, result, cancel", async () => {
    await using setup = await start();
    const { shop, app } = setup;
    const run = unwrapped(await shop.checkout.start({ order: "7" }));
    for (;;) {
      const open = unwrapped(await run.open());
      if (open?.status === "waiting") {
        assertEquals([open.run, open.pending.map(({ name }) => name)], [run.id, ["Approved"]]);
        break;
      }
      await app.clock.sleep(1);
    }
    const result = run.result();
    assert((await run.tell("approved", { by: "ada" })).ok);
    assertEquals(unwrapped(await result), { receipt: 3n });
    assertEquals([unwrapped(await run.open()), unwrapped(await shop.checkout.run(run.id).result())], [undefined, {
      receipt: 3n,
    }]);
    const other = unwrapped(await shop.checkout.start({ order: "8" }, { id: "eight" }));
    assertEquals(unwrapped(await shop.checkout.start({ order: "8" }, { id: "eight" })).id, other.id);
    assert((await other.tell("approved", { by: "nobody" })).ok);
    assertEquals((await other.result()).error?.code, "DECLINED");
    const third = unwrapped(await shop.checkout.start({ order: "9" }));
    assert((await third.cancel("not wanted")).ok);
    assertEquals((await third.result()).error?.code, "CANCELLED");
    assertEquals((await shop.checkout.run("none").result()).error?.code, "NO_RUN");
  });

  it("questions: the run's answer, its own failure, and the answer to a call whose connection broke", async () => {
    const Trip = workflow<void, void>("Trip");
    const Move = Trip.question<{ to: string }, { fee: bigint }, "TOO_LATE" | "UNAVAILABLE" | "NOT_ENDED">("Move");
    const asked = new Set<string>();
    const trip = Trip.handle(async (flow) => {
      for (;;) {
        const { id, input: { to }, answer, fail } = await flow.wait(Move);
        asked.add(id);
        if (to === "late") fail("TOO_LATE", "the boat has left");
        else if (to === "sea") fail("UNAVAILABLE", "says the run");
        else if (to === "on") fail("NOT_ENDED", "says the run");
        else answer({ fee: BigInt(to.length) });
      }
    });
    await using app = await catga({ logger: QUIET, handlers: trip });
    const edged = edge({ trip: [Trip, { ask: { move: Move } }] });
    const handle = edged.handler(app, { authorize: () => undefined, maxWait: 1_000 });
    let broken = 0;
    const travel = client<typeof edged>("http://localhost", {
      pause: [1, 1],
      fetch: async (url, init) => {
        const response = await handle(new Request(url, init));
        if (broken === 0) return response;
        broken--;
        throw new TypeError("the connection is lost");
      },
    });
    const run = unwrapped(await travel.trip.start());
    const { fee } = unwrapped(await run.ask("move", { to: "Rome" }));
    assertEquals(fee satisfies bigint, 4n);
    broken = 2;
    assertEquals(unwrapped(await run.ask("move", { to: "Oslo!" })), { fee: 5n });
    assertEquals(asked.size, 2);
    const late = await run.ask("move", { to: "late" });
    assertEquals([late.error?.code satisfies string | undefined, late.error?.message], [
      "TOO_LATE",
      "the boat has left",
    ]);
    assertEquals((await run.ask("move", { to: "sea" })).error?.code, "UNAVAILABLE");
    // a failure that the run has chosen is its answer, also with the code of a question that has none
    assertEquals((await run.ask("move", { to: "on" })).error?.code, "NOT_ENDED");
    assertEquals(asked.size, 5);
    assertEquals((await travel.trip.run("none").ask("move", { to: "x" })).error?.code, "NO_RUN");
    // what it waits for may come after the edge's `maxWait`: the client asks on, until it is given up
    const Ferry = workflow<void, void>("Ferry");
    const idle = edge({ ferry: [Ferry, { ask: { go: Ferry.question("Go") } }] });
    await using other = await catga({ logger: QUIET, handlers: Ferry.handle((flow) => flow.sleep("day", 86_400_000)) });
    let requests = 0;
    const over = new AbortController();
    const short = idle.handler(other, { authorize: () => undefined, maxWait: 1 });
    const port = client<typeof idle>("http://localhost", {
      pause: [1, 1],
      fetch: (url, init) => {
        if (++requests === 4) over.abort();
        return short(new Request(url, init));
      },
    });
    const waits = unwrapped(await port.ferry.start());
    assertEquals((await waits.ask("go", undefined, { signal: over.signal })).error?.code, "CANCELLED");
    assertEquals(requests, 4);
  });

  it("a run that failed with a code of Catga has its result at once (it was asked for again for ever)", async () => {
    const Late = workflow("Late", { timeout: 20 });
    const Passes = workflow<string>("Passes");
    const app = await catga({
      logger: QUIET,
      handlers: [Late.handle((flow) => flow.sleep("long", 60_000)), Passes.handle((_, code) => fail(code, "it ended"))],
    });
    await using _app = app;
    const edged = edge({ late: Late, passes: Passes });
    const handle = edged.handler(app, { authorize: () => undefined });
    const responses: Response[] = [];
    const tooMany = new AbortController();
    const answered = async (url: string, init: RequestInit) => {
      const response = await handle(new Request(url, init));
      if (responses.push(response.clone()) > 500) tooMany.abort();
      return response;
    };
    const shop = client<typeof edged>("http://shop.example", { fetch: answered, pause: [1, 2] });
    const runs = [unwrapped(await shop.late.start())];
    const codes = ["TIMEOUT", "UNAVAILABLE", "OVERLOADED", "RATE_LIMITED", "HANDLER_FAILED", "MINE"];
    for (const code of codes.slice(1)) runs.push(unwrapped(await shop.passes.start(code)));
    const found: unknown[] = [];
    for (const run of runs) {
      const { error } = await run.result({ signal: tooMany.signal });
      found.push([error?.code, unwrapped(await run.open())]);
    }
    assertEquals(found, codes.map((code) => [code, undefined]));
    const plain = await handle(new Request(`http://shop.example/late/${runs[0].id}`));
    const problem = await plain.json();
    assertEquals([plain.status, problem.code, problem.ended], [504, "TIMEOUT", true]);
    assertEquals([...responses, plain].filter(({ headers }) => headers.has("retry-after")), []);
  });

  it("open(): who may not ask gets a failure, and so does who asks nothing of an edge (the run had ended, it said)", async () => {
    await using setup = await start();
    const { id } = unwrapped(await setup.shop.checkout.start({ order: "7" }));
    const refused = await setup.asUser("nobody").checkout.run(id).open();
    assertEquals([refused.ok, refused.error?.code], [false, "UNAUTHORIZED"]);
    const broken = api.handler(setup.app, {
      authorize: () => {
        throw new Error("no database");
      },
    });
    const logged = await consoleErrors(async () => {
      const behind = client<typeof api>("http://shop.example", {
        fetch: (url, init) => broken(new Request(url, init)),
      });
      assertEquals((await behind.checkout.run(id).open()).error?.code, "HANDLER_FAILED");
    });
    assertEquals(logged.length, 1);
  });

  it("without an answer a command is OUTCOME_UNKNOWN, a query UNAVAILABLE, an aborted call CANCELLED", async () => {
    const lost = client<typeof api>("http://shop.example", {
      fetch: (_, { signal }) =>
        signal?.aborted ? Promise.reject(signal.reason) : Promise.reject(new TypeError("no way")),
    });
    const order = { sku: "tea", on: new Date(5), cents: 9n };
    assertEquals((await lost.create.send(order)).error?.code, "OUTCOME_UNKNOWN");
    assertEquals((await lost.list.query()).error?.code, "UNAVAILABLE");
    assertEquals((await lost.list.query(undefined, { signal: AbortSignal.abort() })).error?.code, "CANCELLED");
  });

  it("an answer of a proxy that is no JSON is an error with its status; what it may have passed on is OUTCOME_UNKNOWN", async () => {
    const behind = client<typeof api>("http://shop.example", {
      fetch: () => Promise.resolve(new Response("<html>busy", { status: 503, headers: { "retry-after": "2" } })),
    });
    const order = { sku: "tea", on: new Date(5), cents: 9n };
    const run = behind.checkout.run("1");
    const results = [
      ["UNAVAILABLE", await behind.list.query()],
      ["OUTCOME_UNKNOWN", await behind.create.send(order)],
      ["OUTCOME_UNKNOWN", await behind.checkout.start({ order: "1" })],
      ["OUTCOME_UNKNOWN", await run.tell("approved", { by: "nobody" })],
      ["OUTCOME_UNKNOWN", await run.cancel()],
    ] as const;
    for (const [code, { error }] of results) {
      assertEquals([error?.code, error?.status, error?.retryAfter, error?.retryable], [code, 503, 2_000, true]);
    }
  });

  describe("an iteration", () => {
    const sse = (text: string) => new Response(text, { headers: { "content-type": "text/event-stream" } });
    const silent = (_: string, { signal }: RequestInit) =>
      new Promise<Response>((_, reject) => {
        const abort = () => reject(signal!.reason);
        if (signal!.aborted) abort();
        else signal!.addEventListener("abort", abort);
      });

    it("ends at once when its signal aborts (items that had come together with the last were still given)", async () => {
      const over = new AbortController();
      const three = ":5000\n\nid: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\ndata: 3\n\n";
      const shop = client<typeof api>("http://shop.example", {
        fetch: () => Promise.resolve(sse(three)),
        pause: [1, 2],
      });
      const items: unknown[] = [];
      for await (const item of shop.placed.follow({ signal: over.signal })) {
        items.push(item);
        over.abort();
      }
      assertEquals(items, [1]);
    });

    it("ends without a pause and without an error when its signal aborts while a refusal arrives", async () => {
      for (const status of [503, 401]) {
        const over = new AbortController();
        const refusal = () => {
          const response = new Response("", { status, headers: { "retry-after": "1000000" } });
          const text = () => Promise.resolve(over.abort()).then(() => "");
          return Promise.resolve(Object.assign(response, { text }));
        };
        const shop = client<typeof api>("http://shop.example", { fetch: refusal });
        assertEquals(await collected<unknown>(shop.placed.follow({ signal: over.signal })), []);
      }
    });

    it("throws INVALID_RESPONSE for an item that cannot be decoded (it was left out without a word)", async () => {
      const after = (init: RequestInit) => new Headers(init.headers).get("last-event-id");
      const fetch = (_: string, init: RequestInit) => {
        const unknown = 'id: 1\ndata: 1\n\nid: 2\ndata: ~"~Unknown:2"\n\n';
        return Promise.resolve(sse(after(init) === "2" ? "id: 3\ndata: 3\n\nevent: end\ndata:\n\n" : unknown));
      };
      const items: unknown[] = [];
      const shop = client<typeof api>("http://shop.example", { fetch, pause: [1, 2] });
      const error = await assertRejects(async () => {
        for await (const item of shop.placed.follow()) items.push(item);
      }, ClientError);
      assertEquals([items, error.code, error.status, error.retryable], [[1], "INVALID_RESPONSE", 200, false]);
      assertMatch(error.message, /^the answer of http:\/\/shop.example\/placed.* cannot be read: /);
    });

    it("throw() ends it and its request (it went on with the next connection, or waited for the next event)", async () => {
      let requests = 0;
      const one = () => Promise.resolve(sse(`id: ${++requests}\ndata: ${requests}\n\n`));
      const items = client<typeof api>("http://shop.example", { fetch: one, pause: [1, 2] }).placed.follow();
      await items.next();
      await assertRejects(() => items.throw!(new Error("mine")), Error, "mine");
      assertEquals([await items.next(), requests], [{ done: true, value: undefined }, 1]);
      const waiting = client<typeof api>("http://shop.example", { fetch: silent }).placed.follow();
      const next = waiting.next();
      await assertRejects(() => waiting.throw!(new Error("mine")), Error, "mine");
      assertEquals((await next).done, true);
    });
  });

  for (const [what, body] of [["no body", undefined], ["a body of Node's kind", { pipe() {} }]] as const) {
    it(`a fetch whose responses have ${what} is INVALID_RESPONSE of streams and tails (it was asked again for ever)`, async () => {
      await using server = await start();
      let asked = 0;
      const withoutBody = async (url: string, init: RequestInit) => {
        asked++;
        const { ok, status, headers, body: unread } = await server.wire.fetch(url, init);
        await unread?.cancel();
        return { ok, status, headers, body } as unknown as Response;
      };
      const shop = client<typeof api>("http://localhost/api", { fetch: withoutBody });
      for (const read of [() => shop.letters.stream("ab"), () => shop.placed.follow({ from: "start" })]) {
        const error: unknown = await read().next().catch((error) => error);
        assertEquals(error instanceof ClientError && error.code, "INVALID_RESPONSE");
        assertStringIncludes((error as Error).message, "fetch gives no stream");
      }
      assertEquals(asked, 2);
    });
  }

  it("streams are read where there is no TextDecoderStream, in pieces that cut characters", async () => {
    await using server = await start();
    const { TextDecoderStream } = globalThis;
    Object.assign(globalThis, { TextDecoderStream: undefined });
    try {
      const bytewise = async (url: string, init: RequestInit) => {
        const { body, headers } = await server.wire.fetch(url, init);
        const cut = new TransformStream<Uint8Array, Uint8Array>({
          transform: (chunk, to) => chunk.forEach((byte) => to.enqueue(Uint8Array.of(byte))),
        });
        return new Response(body!.pipeThrough(cut), { headers });
      };
      const shop = client<typeof api>("http://localhost/api", { fetch: bytewise });
      assertEquals(await Array.fromAsync(shop.letters.stream("aé€😀")), ["a", "é", "€", "😀"]);
    } finally {
      Object.assign(globalThis, { TextDecoderStream });
    }
  });

  it("a stream that ends its gateway before the first item is opened less and less often (at full pace, for ever)", async () => {
    const opened: number[] = [];
    const enough = new AbortController();
    const shop = client<typeof api>("http://shop", {
      pause: [5, 320],
      fetch: () => {
        opened.push(performance.now());
        if (opened.length > 7) enough.abort();
        // the headers and the first comments, then the gateway is gone
        const headers = { "content-type": "text/event-stream" };
        return Promise.resolve(new Response(":5000\n\n:\n\nid: 7\n\n", { headers }));
      },
    });
    for await (const _ of shop.placed.follow({ signal: enough.signal }));
    // the seventh pause is from 160 to 320 ms. One after a connection of 1 s, on a busy machine, is the first again
    const pauses = opened.slice(1).map((at, i) => at - opened[i]);
    assert(Math.max(...pauses) >= 155, `${pauses}`);
  });

  it("events with line ends of CRLF, as a proxy may make them, are read, wherever they are cut (none ever came)", async () => {
    const text = new TextEncoder().encode(':5000\r\n\r\ndata: "a"\r\n\r\ndata: "b"\r\n\r\nevent: end\r\ndata:\r\n\r\n');
    const body = ReadableStream.from(Array.from(text, (byte) => Uint8Array.of(byte)));
    const headers = { "content-type": "text/event-stream" };
    const shop = client<typeof api>("http://shop", { fetch: () => Promise.resolve(new Response(body, { headers })) });
    assertEquals(await Array.fromAsync(shop.letters.stream("ab")), ["a", "b"]);
  });

  it("204 is the undefined of a call; 204 and 304 are no stream, and no value of a query", async () => {
    const shopOf = (status: number) =>
      client<typeof api>("http://shop", { fetch: () => Promise.resolve(new Response(null, { status })) });
    assertEquals(await shopOf(204).who.query(), { ok: true, value: undefined, status: 204 } as never);
    assertEquals((await shopOf(304).who.query()).error?.code, "INVALID_RESPONSE");
    for (const status of [204, 304]) {
      const error = await assertRejects(() => shopOf(status).placed.follow().next(), ClientError);
      assertEquals([error.code, error.status], ["INVALID_RESPONSE", status]);
    }
  });

  it("result() whose signal aborts while the state of the open run arrives is CANCELLED (it was that state)", async () => {
    for (const status of [202, 503]) {
      const over = new AbortController();
      const open = () => {
        const response = Response.json({ run: "1", status: "waiting", pending: [] }, { status });
        const text = () => Promise.resolve(over.abort()).then(() => '{"run":"1"}');
        return Promise.resolve(Object.assign(response, { text }));
      };
      const shop = client<typeof api>("http://shop.example", { fetch: open });
      const { ok, value, error } = await shop.checkout.run("1").result({ signal: over.signal });
      assertEquals([ok, value, error?.code, error?.retryable], [false, undefined, "CANCELLED", false]);
    }
  });

  it("a value that cannot be decoded is INVALID_RESPONSE (it was an unknown outcome, to be tried again)", async () => {
    const headers = { "content-type": "application/vnd.catga+json" };
    const fetch = () => Promise.resolve(new Response('~"~Unknown:2"', { headers }));
    const shop = client<typeof api>("http://shop.example", { fetch });
    const order = { sku: "tea", on: new Date(5), cents: 9n };
    for (const { error } of [await shop.create.send(order), await shop.checkout.run("1").result()]) {
      assertEquals([error?.code, error?.status, error?.retryable], ["INVALID_RESPONSE", 200, false]);
    }
  });

  describe("of a wrong address", () => {
    const html = () => new Response("<!doctype html>", { headers: { "content-type": "text/html" } });
    const at = (fetch: () => Promise<Response>) => client<typeof api>("http://shop.example", { fetch, pause: [1, 2] });
    const order = { sku: "tea", on: new Date(5), cents: 9n };

    it("gets INVALID_RESPONSE from what is no edge and says ok, also result() of a run", async () => {
      const asked = new AbortController();
      const { signal } = asked;
      let requests = 0;
      const page = at(() => {
        if (++requests > 20) asked.abort();
        return Promise.resolve(html());
      });
      const errors = [
        (await page.create.send(order)).error,
        (await page.list.query()).error,
        (await page.checkout.run("1").result({ signal })).error,
        await collected(page.letters.stream("tea", { signal })).catch((error) => error),
        await collected(page.placed.follow({ signal })).catch((error) => error),
      ];
      assertEquals(requests, 5);
      for (const error of errors) {
        assertEquals([error?.code, error?.status, error?.retryable], ["INVALID_RESPONSE", 200, false]);
        assertMatch(error.message, /^http.* was answered with 200 text\/html, not by an edge$/);
      }
    });

    it("names status and type of an answer without a code (the message was the code)", async () => {
      const none = at(() => Promise.resolve(new Response(html().body, { status: 404, headers: html().headers })));
      const { error } = await none.list.query();
      assertEquals([error?.code, error?.status], ["INVALID_RESPONSE", 404]);
      assertEquals(error?.message, "http://shop.example/list was answered with 404 text/html, not by an edge");
      const json = at(() => Promise.resolve(Response.json({ message: "no route" }, { status: 502 })));
      const refused = (await json.create.send(order)).error;
      assertMatch(`${refused?.message}`, /create was answered with 502 application\/json.*, not by an edge$/);
    });

    it("says why there is no answer", async () => {
      const refused = at(() => Promise.reject(new TypeError("connection refused")));
      const { error } = await refused.list.query();
      assertEquals(error?.message, "GET http://shop.example/list has no answer: TypeError: connection refused");
    });
  });
});

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

function unwrapped<T>(result: { ok: true; value: T } | { ok: false; error: Error }): T {
  if (result.ok) return result.value;
  throw result.error;
}
