/**
 * An edge under malformed requests, on the runtime's own server and over raw sockets, directly and behind nginx and
 * HAProxy with their default settings: each request has one thing wrong with it, which a seed chooses.
 * `CATGA_HOSTILE=10000` says how many are sent each way.
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { connect, type Socket } from "node:net";
import { describe, it } from "node:test";
import process from "node:process";
import * as z from "zod";
import { type Catga, catga, command, event, query, stream, unwrap, workflow } from "../mod.ts";
import { deny, edge } from "../src/http/mod.ts";
import { seededRandom } from "../src/memory/seeded_random.ts";
import { chances } from "./support/chances.ts";
import { eventually } from "./support/eventually.ts";
import { collectGarbage } from "./support/garbage.ts";
import { QUIET } from "./support/quiet.ts";
import { startProxy } from "./support/proxy_process.ts";
import { serve } from "../examples/shop/http_server.ts";
import { findProxy, type Proxy } from "../tools/proxies.ts";

const COUNT = Number(process.env.CATGA_HOSTILE ?? 0);
const SEED = Number(process.env.CATGA_HOSTILE_SEED ?? 1);
/** Requests that show what each of them leaves in memory. */
const ENOUGH = 4_000;
const AT_ONCE = 16;
/** Parts of the requests, behind each of which memory is read. */
const PARTS = 8;

/** Stands in causes, names and ids that no response may show. */
const MARK = "zinnober";

const Add = command("Add", { input: z.object({ n: z.int().min(1).max(9), note: z.string().max(20).optional() }) });
const Twice = query("Twice", { input: z.int(), output: z.number() });
const Count = stream("Count", { input: z.object({ to: z.int().max(3) }), items: z.number() });
const Letter = stream<number, number>("Letter", { resume: (n, last) => last ?? n });
const Noted = event<{ text: string }>("Noted", { durable: true, key: ({ text }) => text.slice(0, 1) });
const Trip = workflow("Trip", { input: z.object({ to: z.string() }) });
const Packed = Trip.signal<number>("Packed");
const Break = command("Break");
const Secret = command("Secret");

const api = edge({
  add: Add,
  twice: Twice,
  count: Count,
  letter: Letter,
  noted: Noted,
  trip: [Trip, { tell: { packed: Packed } }],
  break: Break,
});

const proxies = { nginx: await findProxy("nginx"), haproxy: await findProxy("haproxy") };

const reached = { added: 0, handled: 0, secret: 0 };
const handlers = [
  Add.handle(({ n }) => {
    reached.handled++;
    reached.added += n;
  }),
  Twice.handle((n) => 2 * n),
  Count.handle(function* ({ to }) {
    for (let n = 1; n <= to; n++) yield n;
  }),
  Letter.handle(function* (n) {
    yield n;
  }),
  Trip.handle(async (flow) => void await flow.wait(Packed)),
  Break.handle(() => {
    throw new Error(`${MARK}: the cause`);
  }),
  Secret.handle(() => void reached.secret++),
];

interface Attack {
  readonly what: string;
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Sends a part of the body alone. */
  readonly slow?: boolean;
  readonly statuses: readonly number[];
}

const JSON_TYPE = { "content-type": "application/json" };
const VALUES_TYPE = { "content-type": "application/vnd.catga+json" };

/** Random choices by a seed. */
interface Choices {
  /** An integer from 0 to `count` - 1. */
  below(count: number): number;
  pick<T>(of: readonly T[]): T;
  bytes(count: number): Uint8Array;
}

function choices(seed: number): Choices {
  const random = seededRandom(seed);
  const below = (count: number) => Math.floor(random() * count);
  return {
    below,
    pick: (of) => of[below(of.length)],
    bytes: (count) => Uint8Array.from({ length: count }, () => below(256)),
  };
}

type Maker = (random: Choices) => Attack;

const post = (what: string, path: string, body: string | Uint8Array, headers: Record<string, string> = JSON_TYPE) => ({
  ...{ what, method: "POST", path, headers, body },
  statuses: [400],
});

/** An attack that never reaches an edge behind nginx, which reads a whole body before it passes a request on. */
const slowBody: Maker = (random) => ({
  ...post("a slow body", "/add", '{"n":'.slice(0, 1 + random.below(4))),
  ...{ slow: true, statuses: [408] },
});

const ATTACKS: readonly Maker[] = [
  (random) => post("bytes for a body", "/add", random.bytes(1 + random.below(200))),
  (random) => post("half of a body", "/add", '{"n":1,"note":"abcdefgh"}'.slice(0, 1 + random.below(23))),
  (random) =>
    post(
      "a body of another shape",
      "/add",
      random.pick([
        "null",
        "[]",
        '"x"',
        "-0",
        "1e400",
        '{"n":"1"}',
        '{"n":0}',
        '{"n":1.5}',
        '{"n":null}',
        '{"__proto__":{"n":1}}',
        '{"constructor":{"prototype":{"n":1}}}',
        `{"n":1,"note":"${"x".repeat(21 + random.below(2_000))}"}`,
      ]),
    ),
  (random) => post("nesting", "/add", "[".repeat(1_500) + "]".repeat(random.pick([1_500, 1_499]))),
  (random) =>
    post(
      "tags that are none",
      "/add",
      random.pick(["~", '~"~Thing:1"', '~["~Map",1]', '~"~bigint:zz"', '~{"n":"~Date:x"}', '~"~Uint9Array:AA=="']),
      VALUES_TYPE,
    ),
  (random) => ({
    ...post("a media type", "/add", "n=1", {
      "content-type": random.pick(["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "x", ""]),
    }),
    statuses: [415],
  }),
  (random) => ({ ...post("a large body", "/add", " ".repeat(5_000 + random.below(5_000))), statuses: [413] }),
  () => ({
    ...post("a large body in chunks", "/add", `1388\r\n${" ".repeat(5_000)}\r\n0\r\n\r\n`, {
      ...JSON_TYPE,
      "transfer-encoding": "chunked",
    }),
    statuses: [413],
  }),
  slowBody,
  (random) =>
    post("an id", "/add", '{"n":1}', {
      ...JSON_TYPE,
      "idempotency-key": random.pick(["", "x".repeat(129 + random.below(200))]),
    }),
  (random) => ({
    ...{ what: "a path", method: random.pick(["GET", "POST", "DELETE"]), body: "" },
    path: "/" + random.pick([
      "Secret",
      "secret",
      "Add",
      "add/1",
      "add%2f",
      "%61dd/x",
      "__proto__",
      "constructor",
      "toString",
      "trip/1/Packed",
      "trip/1/2/3",
      "trip//",
      "a".repeat(random.below(2_000)),
      [...random.bytes(8)].map((byte) => "%" + byte.toString(16).padStart(2, "0")).join(""),
    ]),
    statuses: [400, 404, 405],
  }),
  (random) => ({
    ...{ what: "a method", method: random.pick(["PUT", "PATCH", "OPTIONS", "PROPFIND", "REPORT", "LOCK"]) },
    ...{ path: random.pick(["/add", "/twice", "/count", "/noted", "/trip", "/trip/1"]), statuses: [405] },
  }),
  (random) => ({
    ...{ what: "an input", method: "GET", statuses: [400] },
    headers: { accept: random.pick(["*/*", "application/vnd.catga+json"]) },
    ...{ path: `/twice?input=${random.pick(["", "x", "%5B", "1.5", "%22a%22", "~%22~Date:1%22", "%ff%fe", "%00"])}` },
  }),
  (random) => ({
    ...{ what: "a place", method: "GET", statuses: [400] },
    path: `/noted?from=${random.pick(["yesterday", "-1", "1.5", "1e9", "99999999999999999999", "2026-99-99", "%00"])}`,
  }),
  (random) => ({
    ...{ what: "a last event", method: "GET", path: random.pick(["/noted", "/count?input=%7B%22to%22:1%7D"]) },
    ...{ headers: { "last-event-id": random.pick(["x", "-1", "{}", "%zz", "~", "~%22"]) }, statuses: [400] },
  }),
  (random) => ({
    ...{ what: "a last item", method: "GET", path: "/letter?input=1", statuses: [400] },
    headers: { "last-event-id": random.pick(["%zz", "x", "%7B", "~%22~Thing:1%22"]) },
  }),
  (random) => ({
    ...{ what: "a run", method: random.pick(["GET", "DELETE"]), statuses: [400, 404, 405] },
    path: `/trip/${random.pick(["none", "%00", "%0a", "x".repeat(300), "*", ">", "a.b", "%F0%9F%98%80", "..%2f.."])}`,
  }),
  (random) => ({
    ...post("a signal of a run", `/trip/${random.pick(["%00", "%20", "x".repeat(300)])}/packed`, "1"),
    statuses: [400, 404],
  }),
  () => ({ ...post("nobody", "/add", '{"n":1}', { ...JSON_TYPE, authorization: "nobody" }), statuses: [401] }),
  (random) => ({
    ...post("another site's page", "/add", '{"n":1}', {
      ...JSON_TYPE,
      cookie: "session=1",
      ...random.pick([{}, { origin: "https://evil.example" }, { origin: "null" }]),
      "sec-fetch-site": "cross-site",
    }),
    statuses: [403],
  }),
  (random) => ({
    ...post("a large header", "/add", '{"n":"x"}', { ...JSON_TYPE, "x-large": "a".repeat(random.below(6_000)) }),
    statuses: [400],
  }),
];

/** Sends a request; resolves with the whole response, or what there is of it when the connection ends. */
function ask(port: number, attack: Attack): Promise<string> {
  const { method, path, headers = {}, body = "", slow = false } = attack;
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const length = headers["transfer-encoding"] === undefined
    ? `content-length: ${bytes.length + (slow ? 99 : 0)}\r\n`
    : "";
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = `${method} /api${path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n${length}${lines}\r\n`;
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(Buffer.from(head, "latin1"));
      socket.write(bytes);
    });
    socket.setTimeout(20_000, () => socket.destroy());
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      text += chunk;
      // neither a slow sender nor a tail ends by itself
      if (text.includes("\r\n\r\n") && (slow || text.includes("text/event-stream"))) socket.destroy();
    });
    socket.on("error", () => {}); // the server closes while the body is on its way: `close` follows
    socket.on("close", () => resolve(text));
  });
}

async function inTurns(count: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < count) await work(next++);
  }));
}

async function start() {
  const app = await catga({ logger: QUIET, handlers, id: `node-${MARK}` });
  const handle = api.handler(app, {
    base: "/api",
    authorize: (request) => request.headers.get("authorization") === "nobody" ? deny(401) : { id: "ann" },
    identify: ({ id }) => id,
    maxBody: 4_096,
    bodyTimeout: 500,
  });
  const server = serve(handle, "127.0.0.1", 0);
  return {
    app,
    port: server.port,
    async [Symbol.asyncDispose]() {
      await app.drain();
      await server.close(1_000);
    },
  };
}

/**
 * Sends `count` malformed requests to an edge, over the proxy `via` if there is one, and valid ones between them.
 * Returns how much memory the process took for the second half of many requests, in MB.
 */
async function sendAttacks(port: number, count: number, via?: "nginx" | "haproxy"): Promise<number> {
  const random = choices(SEED);
  Object.assign(reached, { added: 0, handled: 0 });
  const attacks = via === "nginx" ? ATTACKS.filter((attack) => attack !== slowBody) : ATTACKS;
  const found: string[] = [];
  let valid = 0;
  let sent = 0;
  let rssHalfway = 0;
  const good: Attack = { ...post("valid", "/add", '{"n":3}'), statuses: [204] };
  const fails: Attack = { ...post("breaks", "/break", "", {}), statuses: [500] };
  const one = async (attack: Attack) => {
    const text = await ask(port, attack);
    const status = Number(/^HTTP\/1.1 (\d{3})/.exec(text)?.[1] ?? 0);
    const shown = [MARK, "    at ", "file://", "node_modules", "Error:"].filter((part) => text.includes(part));
    const said = `${attack.what}: ${attack.method} ${attack.path.slice(0, 80)} ${
      JSON.stringify(attack.headers)?.slice(0, 120)
    } ${String(attack.body).slice(0, 80)}`;
    // the runtime answers what is not HTTP, and a proxy what it does not pass on
    const isRefused = via !== undefined && status >= 400 && status < 500 && attack.statuses[0] >= 400;
    if (!isRefused && !attack.statuses.includes(status)) found.push(`${status} for ${said}: ${text.slice(-150)}`);
    if (shown.length > 0) found.push(`${shown} shown for ${said}`);
    sent++;
  };
  const { error } = console;
  const logged: unknown[][] = [];
  console.error = (...line) => void logged.push(line);
  /** Heap in use behind each part of the requests, in bytes. */
  const heaps: number[] = [];
  const part = async () => {
    await inTurns(count / PARTS, async () => {
      await one(random.pick(attacks)(random));
      if (sent >= count / 2) rssHalfway ||= process.memoryUsage().rss;
      if (sent % 10 === 0) {
        valid++;
        await one(good);
        await one(fails);
      }
    });
    collectGarbage();
    heaps.push(process.memoryUsage().heapUsed);
  };
  try {
    for (let n = 0; n < PARTS; n++) await part();
  } finally {
    console.error = error;
  }
  assertEquals([...new Set(found)].slice(0, 12), []);
  assertEquals(logged.map(String), [], "errors that the edge did not expect");
  assertEquals(reached, { handled: valid, added: 3 * valid, secret: 0 });
  if (count < ENOUGH) return 0;
  const grown = (process.memoryUsage().rss - rssHalfway) / 1e6;
  console.log(`${via ?? "directly"}: ${sent} requests, the second half took ${Math.round(grown)} MB`);
  // what each request leaves behind grows in each part: pools and compiled code grow in the first ones
  const late = heaps.slice(PARTS / 2).map((heap, at) => (heap - heaps[PARTS / 2 - 1 + at]) / (count / PARTS));
  assert(Math.min(...late) < 500, `bytes of heap that a request left in late parts: ${late.map(Math.round)}`);
  return grown;
}

/**
 * Publishes 500 events and reads all, while 20 other readers never read. `round`: how often this was done to the app.
 * Returns how much memory the process took for it, in MB.
 */
async function readBesideStuck(port: number, app: Catga, round: number): Promise<number> {
  const text = "x".repeat(10_000);
  const stuck: Socket[] = [];
  for (let n = 0; n < 20; n++) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {}); // it is cut off at the end
    socket.pause();
    socket.write("GET /api/noted?from=start HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    stuck.push(socket);
  }
  const read = async (from: string) => {
    const { body } = await fetch(`http://127.0.0.1:${port}/api/noted?from=${from}`);
    return body!.getReader();
  };
  const reader = await read("start");
  let got = 0;
  const reading = (async () => {
    const decoder = new TextDecoder();
    for (let rest = "";;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = parts.pop()!;
      got += parts.filter((part) => part.includes("data:")).length;
    }
  })();
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 500; n++) {
    unwrap(await app.publish(Noted, { text: `${n}${text}` }));
  }
  await eventually("all events", () => got === 500 * round);
  const grown = (process.memoryUsage().rss - before) / 1e6;
  await reader.cancel();
  await reading;
  for (const socket of stuck) socket.destroy();
  return grown;
}

/**
 * Asserts that work takes less than `most` MB of memory in one of three times: in Deno other test files run in threads
 * of this process, and what they take in this time counts, too.
 */
async function takesLess(most: number, what: string, work: () => Promise<number>): Promise<void> {
  const grown = await chances(2, work, (grown) => grown < most);
  assertLess(grown, most, `${what} took ${grown} MB`);
}

/** What 20 readers that do not read may take for 5 MB of events. */
function stuckTakesLess(port: number, { app }: { readonly app: Catga }): Promise<void> {
  let round = 0;
  return takesLess(200, "20 readers that do not read", () => readBesideStuck(port, app, ++round));
}

describe("a hostile client of an edge", { timeout: 600_000 }, () => {
  it("each malformed request is 4xx, reaches no handler and shows no cause; valid ones between them all count", async () => {
    await using server = await start();
    // what the runtime keeps of closed connections is in it, a handler by hand has the same: leaks are seen in the heap
    await takesLess(250, "the second half of the requests", () => sendAttacks(server.port, COUNT || ENOUGH));
  });

  for (const via of ["nginx", "haproxy"] as const) {
    it(`so it is behind ${via} with its default settings`, "skip" in proxies[via] ? proxies[via] : {}, async () => {
      await using server = await start();
      await using proxy = await startProxy(via, proxies[via] as Proxy, server.port);
      await sendAttacks(proxy.port, COUNT || 400, via);
      await stuckTakesLess(proxy.port, server);
    });
  }

  it("a reader that never reads holds nobody up, and what waits for it stays small", async () => {
    await using server = await start();
    await stuckTakesLess(server.port, server);
  });
});
