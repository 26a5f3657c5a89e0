/**
 * The client of an edge over real connections to the runtime's own HTTP server, and what stands between them: relays
 * that fall silent, pages of proxies, and values that headers and lines of text cannot hold as they are.
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, it } from "node:test";
import { catga, command, event, query, stream, unwrap, workflow } from "../mod.ts";
import { deny, edge, type EdgeHandlerOptions } from "../src/http/mod.ts";
import { client } from "../src/client/mod.ts";
import { serve } from "../examples/shop/http_server.ts";
import { chancesOfStarved } from "./support/chances.ts";
import { consoleErrors } from "./support/console_errors.ts";
import { eventually } from "./support/eventually.ts";
import { QUIET } from "./support/quiet.ts";

const Echo = stream<readonly string[], string>("Echo");
const Length = query<string, number>("Length");
const Ping = command<void, string>("Ping");
const Charge = command<number, number>("Charge", { idempotent: true });
const Said = event<number>("Said", { durable: true });
const Trip = workflow<void, string>("Trip");
const Back = Trip.signal<void>("Back");
const api = edge({
  echo: Echo,
  length: Length,
  ping: Ping,
  charge: Charge,
  said: Said,
  trip: [Trip, { tell: { back: Back } }],
});

interface BunGlobal {
  readonly Bun: {
    serve(options: { hostname: string; port: number; fetch: (request: Request) => Promise<Response> }): {
      readonly port: number;
      stop(force: boolean): Promise<void>;
    };
  };
}

const isBun = "Bun" in globalThis;

/** A gateway, with the method and the path of each request that it got. */
async function start(options: Partial<EdgeHandlerOptions<undefined>> = {}) {
  const app = await catga({
    logger: QUIET,
    handlers: [
      Echo.handle(function* (texts) {
        yield* texts;
      }),
      Length.handle((text) => text.length),
      Ping.handle(() => "pong"),
      Charge.handle((cents) => cents),
      Trip.handle(async (flow) => {
        await flow.wait(Back);
        return "home";
      }),
    ],
  });
  const handle = api.handler(app, { authorize: () => undefined, ...options });
  const requests: string[] = [];
  const left: string[] = [];
  const server = serve(
    (request) => {
      const name = `${request.method} ${URL.parse(request.url)?.pathname ?? request.url}`;
      requests.push(name);
      request.signal.addEventListener("abort", () => left.push(name));
      return handle(request);
    },
    "127.0.0.1",
    0,
  );
  return {
    app,
    requests,
    left,
    port: server.port,
    shop: client<typeof api>(`http://127.0.0.1:${server.port}`, { pause: [1, 10] }),
    async [Symbol.asyncDispose]() {
      await app.drain();
      await server.close(5_000);
    },
  };
}

/** A relay before a server, whose open connections can fall silent: they stay open, and nothing passes any more. */
async function startRelay(port: number) {
  const open = new Set<{ readonly client: Socket; readonly upstream: Socket }>();
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    const pair = { client, upstream };
    open.add(pair);
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on("error", () => {}); // ended by the other side
    client.on("close", () => (open.delete(pair), upstream.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    open,
    fallSilent() {
      for (const { client, upstream } of open) {
        client.unpipe(upstream);
        upstream.unpipe(client);
        for (const socket of [client, upstream]) socket.resume();
      }
    },
    async [Symbol.asyncDispose]() {
      for (const { client, upstream } of open) {
        client.destroy();
        upstream.destroy();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Sends a request of HTTP/1.0 as it stands, and returns the status of its answer. */
function statusOf(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.on("data", (chunk) => answer += chunk);
    socket.on("close", () => resolve(answer.slice(9, 12)));
    socket.on("error", reject);
  });
}

const { setTimeout: realTimeout, setInterval: realInterval } = globalThis;
/** Long waits of the client take a fiftieth of their time, until the test ends. */
function hurry(): void {
  const hurried = (ms = 0) => ms >= 2_500 ? ms / 50 : ms;
  globalThis.setTimeout = ((callback: () => void, ms?: number) => realTimeout(callback, hurried(ms))) as never;
  globalThis.setInterval = ((callback: () => void, ms?: number) => realInterval(callback, hurried(ms))) as never;
}

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("the client of an edge over HTTP", { timeout: 300_000 }, () => {
  afterEach(() => Object.assign(globalThis, { setTimeout: realTimeout, setInterval: realInterval }));

  it("a command, a start and a signal without an input (Deno's fetch got 415)", async () => {
    await using gateway = await start();
    assertEquals((await gateway.shop.ping.send()).value, "pong");
    const run = unwrap(await gateway.shop.trip.start() as never) as { tell(name: "back"): Promise<{ ok: boolean }> };
    assertEquals((await run.tell("back")).ok, true);
  });

  it("an empty body of unknown length needs no media type, another one does", async () => {
    await using gateway = await start();
    const post = async (texts: readonly string[]) => {
      const body = new ReadableStream({
        start(to) {
          for (const text of texts) to.enqueue(new TextEncoder().encode(text));
          to.close();
        },
      });
      const url = `http://127.0.0.1:${gateway.port}/ping`;
      const response = await fetch(url, { method: "POST", body, duplex: "half" } as RequestInit);
      await response.body?.cancel();
      return response.status;
    };
    assertEquals([await post([]), await post(["null"])], [200, 415]);
  });

  it("an item with a line separator of Unicode arrives (it was left out)", async () => {
    await using gateway = await start();
    const texts = ["a\u2028b", "\u2029", "\r\n\r\n", "\x85\v\f", "data: x\n\nid: 1", "\ufeff\u{1f375}", ""];
    assertEquals(await collected(gateway.shop.echo.stream(texts)), texts);
  });

  it("a query of any size: what is too long for a URL is sent as POST (Bun's server said 431)", async () => {
    await using gateway = await start();
    const sizes = [1, 3_000, 5_000, 9_000, 20_000, 70_000, 500_000];
    for (const size of sizes) assertEquals((await gateway.shop.length.query("x".repeat(size))).value, size);
    assertEquals(gateway.requests, sizes.map((size) => `${size < 4_000 ? "GET" : "POST"} /length`));
  });

  it("a long query without an answer is UNAVAILABLE, as a short one", async () => {
    const lost = client<typeof api>("http://127.0.0.1", { fetch: () => Promise.reject(new TypeError("no way")) });
    assertEquals((await lost.length.query("x".repeat(9_000))).error?.code, "UNAVAILABLE");
  });

  it("an id that no header can hold is a TypeError (it was an unknown outcome, to be tried again)", async () => {
    await using gateway = await start();
    await assertRejects(() => gateway.shop.charge.send(1, { id: "订单" }), TypeError);
    assertEquals(gateway.requests, []);
  });

  it("what the function headers throws is UNAVAILABLE: nothing was sent", async () => {
    const lost = client<typeof api>("http://127.0.0.1", {
      headers: () => Promise.reject(new Error("no token")),
      fetch: () => Promise.reject(new Error("it was sent")),
    });
    const { error } = await lost.charge.send(1);
    assertEquals([error?.code, error?.retryable, (error?.cause as Error).message], ["UNAVAILABLE", true, "no token"]);
  });

  it("return() ends an iteration that waits, and its request (it waited for the next event)", async () => {
    await using gateway = await start();
    const said = gateway.shop.said.follow();
    const next = said.next();
    await eventually("the request", () => gateway.requests.length === 1);
    assertEquals(await said.return!(), { done: true, value: undefined });
    assertEquals((await next).done, true);
    await eventually("its end at the gateway", () => gateway.left.length === 1);
  });

  it("an edge whose maxWait is short is asked for a result in growing pauses (3,600 times a second)", async () => {
    await using gateway = await start({ maxWait: 0 });
    const run = unwrap(await gateway.shop.trip.start() as never) as { id: string };
    const asked = client<typeof api>(`http://127.0.0.1:${gateway.port}`, { pause: [200, 10_000] });
    const over = new AbortController();
    const result = asked.trip.run(run.id).result({ signal: over.signal });
    await new Promise((resolve) => realTimeout(resolve, 1_500));
    over.abort();
    assertEquals((await result).error?.code, "CANCELLED");
    const times = gateway.requests.filter((request) => request.startsWith("GET ")).length;
    assertEquals(times <= 8, true, `${times} requests`);
  });

  it("goes on when its connection falls silent without an end, and gives that one back", async () => {
    await using gateway = await start({ keepAlive: 100 });
    await using relay = await startRelay(gateway.port);
    hurry();
    const said = client<typeof api>(relay.url, { pause: [1, 10] }).said.follow({ from: "start" });
    for (let n = 1; n <= 5; n++) {
      unwrap(await gateway.app.publish(Said, n));
      assertEquals((await said.next()).value?.payload, n);
      const silent = [...relay.open];
      relay.fallSilent();
      if (n < 5) continue;
      const last = said.next();
      await eventually("the end of the silent connection", () => silent.every((pair) => !relay.open.has(pair)));
      unwrap(await gateway.app.publish(Said, 6));
      assertEquals((await last).value?.payload, 6);
    }
    await said.return!();
  });

  it("a run's result comes though the connection that waits for it falls silent", async () => {
    await using gateway = await start();
    await using relay = await startRelay(gateway.port);
    hurry();
    const run = unwrap(await gateway.shop.trip.start() as never) as { id: string };
    const result = client<typeof api>(relay.url, { pause: [1, 10] }).trip.run(run.id).result();
    await eventually("the request", () => gateway.requests.includes(`GET /trip/${run.id}`));
    relay.fallSilent();
    assertEquals((await gateway.shop.trip.run(run.id).tell("back")).ok, true);
    assertEquals((await result).value, "home");
  });

  it("a page in place of an answer is INVALID_RESPONSE (an iteration asked for it for ever)", async () => {
    const page = () =>
      Promise.resolve(new Response("<html>data: log in", { headers: { "content-type": "text/html; charset=utf-8" } }));
    const shop = client<typeof api>("http://127.0.0.1", { fetch: page, pause: [1, 10] });
    const told = [];
    for (const result of [await shop.length.query(""), await shop.charge.send(1), await shop.trip.start()]) {
      const { error } = result;
      told.push([error?.code, error?.status, error?.retryable]);
    }
    assertEquals(told, Array(3).fill(["INVALID_RESPONSE", 200, false]));
    const error = await assertRejects(() => collected(shop.said.follow()));
    assertMatch(`${error}`, /answered with 200 text\/html; charset=utf-8, not by an edge/);
  });

  it("a connection that lived does not count as a failure (each cut of an idle tail doubled the pause)", async () => {
    const pauses: number[] = [];
    globalThis.setTimeout = ((callback: () => void, ms = 0) => {
      if (ms < 60_000) pauses.push(ms);
      return realTimeout(callback, 0);
    }) as never;
    const over = new AbortController();
    let connections = 0;
    let lived = 0;
    const idle = () => {
      if (++connections === 12) over.abort();
      const body = new ReadableStream({
        pull(to) {
          lived += 1_500; // until these comments
          to.enqueue(new TextEncoder().encode(":5000\n\n:\n\n"));
          to.close();
        },
      }, { highWaterMark: 0 }); // nothing is made before it is read
      return Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
    };
    const shop = client<typeof api>("http://127.0.0.1", { fetch: idle });
    const { now } = performance;
    performance.now = () => now.call(performance) + lived;
    try {
      await collected(shop.said.follow({ signal: over.signal }));
    } finally {
      performance.now = now;
    }
    assertEquals([connections, Math.max(...pauses) <= 250], [12, true], `${pauses}`);
  });

  it("a Retry-After of months is heeded (beyond 25 days a timer fires at once)", async () => {
    const over = new AbortController();
    let requests = 0;
    const busy = () => {
      if (++requests === 1) realTimeout(() => over.abort(), 200);
      return Promise.resolve(new Response("", { status: 503, headers: { "retry-after": "9999999" } }));
    };
    const shop = client<typeof api>("http://127.0.0.1", { fetch: busy });
    await collected(shop.said.follow({ signal: over.signal }));
    assertEquals(requests, 1);
  });

  it("a tail ends with the session of its caller, who is asked again who it is", async () => {
    const app = await catga({ logger: QUIET, handlers: [] });
    const session = new AbortController();
    const handle = api.handler(app, { authorize: () => session.signal.aborted ? deny(401) : undefined });
    const server = serve(
      (request) => handle(new Request(request, { signal: AbortSignal.any([request.signal, session.signal]) })),
      "127.0.0.1",
      0,
    );
    try {
      const shop = client<typeof api>(`http://127.0.0.1:${server.port}`, { pause: [1, 10] });
      const said = shop.said.follow({ from: "start" });
      unwrap(await app.publish(Said, 1));
      assertEquals((await said.next()).value?.payload, 1);
      const next = said.next();
      session.abort();
      const error = await assertRejects(() => next);
      assertEquals((error as { code?: string }).code, "UNAUTHORIZED");
    } finally {
      await app.drain();
      await server.close(5_000);
    }
  });

  it("who waits for a run is answered before Bun.serve ends the silent connection", { skip: !isBun }, async () => {
    await using gateway = await start();
    const handle = api.handler(gateway.app, { authorize: () => undefined });
    const server = (globalThis as unknown as BunGlobal).Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: handle });
    try {
      const run = unwrap(await gateway.shop.trip.start() as never) as { id: string };
      const url = `http://127.0.0.1:${server.port}/trip/${run.id}`;
      // a process that stands still may end the connection first
      const ask = async () => {
        const response = await fetch(url, { headers: { prefer: "wait=20" } }).catch((error) => error as Error);
        return response instanceof Error ? response : [response.status, (await response.json()).status];
      };
      const answer = await chancesOfStarved(5, ask, (answer) => !(answer instanceof Error));
      assertEquals(answer, [202, "waiting"]);
    } finally {
      await server.stop(true);
    }
  });

  it("a request of HTTP/1.0 without Host is answered (in Bun it was 500), an invalid Host is 400, and not logged", async () => {
    await using gateway = await start();
    const post = "POST /ping HTTP/1.0\r\nContent-Length: 0\r\n";
    const asked = [
      'GET /length?input="tea" HTTP/1.0\r\n',
      post,
      "GET //ping HTTP/1.0\r\n",
      `${post}Cookie: session=1\r\nOrigin: null\r\n`,
      "GET /length?input=1 HTTP/1.0\r\nHost: shop:99999\r\n",
      "GET /length?input=1 HTTP/1.0\r\nHost: [\r\n",
    ];
    const statuses: string[] = [];
    const logged = await consoleErrors(async () => {
      for (const head of asked) statuses.push(await statusOf(gateway.port, `${head}\r\n`));
    });
    assertEquals([statuses, logged], [["200", "200", "404", "403", "400", "400"], []]);
  });

  it("a body that was read before is an error of the program, which is logged (it was one of the client's)", async () => {
    const app = await catga({ logger: QUIET, handlers: [Charge.handle((cents) => cents)] });
    try {
      const handle = api.handler(app, { authorize: () => undefined });
      const request = new Request("http://127.0.0.1/charge", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: "1",
      });
      await request.text();
      const logged = await consoleErrors(async () => assertEquals((await handle(request)).status, 500));
      assertMatch(`${logged}`, /has been read before/);
    } finally {
      await app.drain();
    }
  });

  for (const how of ["end", "reset"] as const) {
    it(`an answer cut after any number of bytes, by ${how}, is none: nothing is lost, doubled or half a value`, async () => {
      await using gateway = await start();
      await using relay = await startCutter(gateway.port, how);
      const shop = client<typeof api>(relay.url, { pause: [1, 5] });
      const said = [1234, 5678, 9012];
      for (const n of said) unwrap(await gateway.app.publish(Said, n));
      /** Cuts one connection after 1 byte of answers, then one after more, until there are not that many. */
      const eachCut = async (step: number, call: (bytes: number) => Promise<void>) => {
        for (let bytes = 1;; bytes += step) {
          relay.cutAfter(bytes);
          await call(bytes);
          if (!relay.hasCut()) return;
        }
      };
      await eachCut(1, async () => {
        const { value, error } = await shop.length.query("x".repeat(1_234));
        assertEquals(value ?? error?.code, error === undefined ? 1_234 : "UNAVAILABLE");
      });
      await eachCut(1, async (bytes) => {
        const [input, id] = [1_000 + bytes, `${bytes}`];
        const { value, error } = await shop.charge.send(input, { id });
        assertEquals(value ?? error?.code, error === undefined ? input : "OUTCOME_UNKNOWN");
        if (relay.hasCut()) assertEquals((await shop.charge.send(input, { id })).value, input);
      });
      // 25 ms for each cut: a reader of the log begins with a pause
      await eachCut(7, async () => {
        const got: number[] = [];
        for await (const { payload } of shop.said.follow({ from: "start" })) {
          if (got.push(payload) === said.length) break;
        }
        assertEquals(got, said);
      });
    });
  }
});

/** A relay before a server that ends or resets one connection after a number of bytes from there. */
async function startCutter(port: number, how: "end" | "reset") {
  const open = new Set<Socket>();
  let left = Infinity;
  let isCut = false;
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("error", () => {}); // `close` follows
      socket.on("close", () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on("data", (chunk: Buffer) => {
      if (chunk.length < left) {
        left -= chunk.length;
        return void client.write(chunk);
      }
      const part = chunk.subarray(0, left);
      left = Infinity;
      isCut = true;
      upstream.removeAllListeners("data").pause();
      if (how === "end") client.end(part);
      else client.write(part, () => client.resetAndDestroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    cutAfter(bytes: number) {
      left = bytes;
      isCut = false;
    },
    hasCut: () => isCut,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
