import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import {
  catga,
  CatgaError,
  command,
  entity,
  event,
  fail,
  type OutgoingMessage,
  query,
  type Result,
  stream,
  unwrap,
  workflow,
} from "../../mod.ts";
import { consoleErrors } from "../../test/support/console_errors.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { unreadable } from "../../test/support/unreadable.ts";
import { withoutComments } from "../../test/support/without_comments.ts";
import { deny, edge, type EdgeCall, type EdgeHandlerOptions, events } from "./mod.ts";

const Double = query<number, number>("Double");
const Add = command<{ n: number }, { total: number }, "FULL">("Add", { idempotent: true });
const Plain = command<{ n: number } | undefined, void>("Plain");
const Break = query("Break");
const Secret = command("Secret");
const Numbers = stream<{ to: number }, number>("Numbers");
const Noted = event<{ n: number }>("Noted", { durable: true });
const Trip = workflow<{ to: string }, string>("Trip", { meta: { area: "travel" } });
const Packed = Trip.signal<{ bags: number }>("Packed");

const api = edge({
  double: [Double, { cache: "max-age=5" }],
  add: [Add, { failures: { FULL: 409 } }],
  plain: Plain,
  break: Break,
  numbers: Numbers,
  noted: Noted,
  trip: [Trip, { tell: { packed: Packed } }],
});

let total = 0;
const handlers = [
  Double.handle((n) => 2 * n),
  Add.handle(({ n }) => n > 9 ? fail("FULL", "no room") : { total: total += n }),
  Plain.handle(() => {}),
  Break.handle(() => {
    throw new Error("the password is 1234");
  }),
  Secret.handle(() => {}),
  Numbers.handle(function* ({ to }) {
    for (let n = 1; n <= to; n++) yield n;
  }),
  Trip.handle(async (flow, { to }) => {
    flow.stage("booked");
    return `${to} ${(await flow.wait(Packed)).bags}`;
  }),
];

type Options = Partial<EdgeHandlerOptions<{ id: string } | undefined>>;

async function start(options: Options = {}) {
  const app = await catga({ logger: QUIET, handlers });
  const handle = api.handler(app, { base: "/api", authorize: () => ({ id: "ann" }), ...options });
  const ask = (
    method: string,
    path: string,
    { body, headers = {} }: { body?: BodyInit; headers?: Record<string, string> } = {},
  ) =>
    handle(
      new Request(`http://shop.example/api/${path}`, {
        method,
        headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body, duplex: "half" }),
      } as RequestInit),
    );
  return { app, ask, handle, [Symbol.asyncDispose]: () => app.drain() };
}

const problemOf = async (response: Response): Promise<[number, string]> => {
  const { code } = await response.json();
  return [response.status, code];
};

describe("the parameters of a URL", () => {
  it("are those of the route: another one is refused, with those that the route takes", async () => {
    await using server = await start();
    const refusals: [method: string, path: string, takes: string][] = [
      ["GET", "double?job=7", "takes input, as JSON: ?input=…"],
      ["GET", "double?input=7&inptu=8", "takes input, as JSON: ?input=…"],
      ["GET", "numbers?to=3", "takes input, as JSON: ?input=…"],
      ["POST", "add?n=1", "takes none: its input is the body"],
      ["POST", "double?input=7", "takes none: its input is the body"],
      ["GET", "noted?form=start", "takes from, key"],
      ["POST", "trip?to=Rome", "takes none: its input is the body"],
      ["GET", "trip/7?wait=20", "takes none"],
      ["POST", "trip/7/packed?bags=2", "takes none: its input is the body"],
    ];
    for (const [method, path, takes] of refusals) {
      const response = await server.ask(method, path, method === "POST" ? { body: "1" } : {});
      const { code, detail } = await response.json();
      const name = [...new URL(`http://a/${path}`).searchParams.keys()].at(-1);
      assertEquals([response.status, code, detail], [
        400,
        "INVALID_MESSAGE",
        `the URL has an unknown parameter "${name}": this request ${takes}`,
      ]);
    }
    assertEquals(await (await server.ask("GET", "double?input=7")).json(), 14);
    assertEquals(await problemOf(await server.ask("GET", "double?input=7&input=8")), [400, "INVALID_MESSAGE"]);
  });

  it("are not named to whom `authorize` refuses", async () => {
    await using server = await start({ authorize: () => deny(401) });
    assertEquals(await problemOf(await server.ask("GET", "double?job=7")), [401, "UNAUTHORIZED"]);
  });

  it("that the option `parameters` names are left to the program", async () => {
    const authorize = ({ url }: Request) => ({ id: new URL(url).searchParams.get("token") ?? "none" });
    await using server = await start({ authorize, parameters: ["token"] });
    assertEquals(await (await server.ask("GET", "double?token=t&input=7")).json(), 14);
    assertEquals((await server.ask("POST", "plain?token=t")).status, 204);
    assertEquals((await server.ask("GET", "double?tokn=t&input=7")).status, 400);
  });
});

describe("edge", () => {
  it("commands are POST, queries GET with an ETag, in plain JSON for who has no Catga", async () => {
    await using server = await start();
    const added = await server.ask("POST", "add", { body: '{"n":1}' });
    assertEquals([added.status, added.headers.get("content-type"), typeof (await added.json()).total], [
      200,
      "application/json",
      "number",
    ]);
    assertEquals((await server.ask("POST", "plain")).status, 204);
    assertEquals(await problemOf(await server.ask("POST", "add", { body: '{"n":10}' })), [409, "FULL"]);
    const read = await server.ask("GET", "double?input=21");
    const etag = read.headers.get("etag")!;
    assertEquals([await read.text(), read.headers.get("cache-control")], ["42", "max-age=5"]);
    const again = await server.ask("GET", "double?input=21", { headers: { "if-none-match": `"x", ${etag}` } });
    assertEquals([again.status, again.headers.get("etag"), await again.text()], [304, etag, ""]);
    // as a proxy has weakened it that compresses
    const weak = await server.ask("GET", "double?input=21", { headers: { "if-none-match": `"x", W/${etag}` } });
    assertEquals(weak.status, 304);
    assertEquals(await (await server.ask("POST", "double", { body: "4" })).json(), 8);
  });

  it("what is not listed cannot be reached, whatever the path; another method says which one it is", async () => {
    await using server = await start();
    const paths = [
      "",
      "Add",
      "secret",
      "Secret",
      "add/x",
      "numbers/1",
      "__proto__",
      "toString",
      "trip/",
      "trip/1/other",
      "trip/1/packed/x",
      "../api/secret",
      "%73ecret",
      "noted/1",
      "trip//packed",
    ];
    for (const path of paths) {
      for (const method of ["POST", "GET", "DELETE"]) {
        // a slash may be part of the id of a run
        const isRun = /^trip\/.*\/./.test(path) && method !== "POST";
        const refused = isRun ? { GET: [404, "NO_RUN"], DELETE: [405, "METHOD_NOT_ALLOWED"] }[method] : undefined;
        assertEquals(
          await problemOf(await server.ask(method, path)),
          refused ?? [404, "NOT_FOUND"],
          `${method} ${path}`,
        );
      }
    }
    for (
      const [method, path, allow] of [
        ["GET", "add", "POST"],
        ["PUT", "add", "POST"],
        ["DELETE", "double", "GET, HEAD, POST"],
        ["POST", "numbers", "GET, HEAD"],
        ["POST", "noted", "GET, HEAD"],
        ["DELETE", "trip/1", "GET, HEAD"],
        ["POST", "trip/1", "GET, HEAD"],
        ["POST", "%74rip/1", "GET, HEAD"],
        ["GET", "%74rip", "POST"],
        ["GET", "trip", "POST"],
      ]
    ) {
      const response = await server.ask(method, path);
      assertEquals([response.headers.get("allow"), ...await problemOf(response)], [allow, 405, "METHOD_NOT_ALLOWED"]);
    }
  });

  it("authorize sees what is asked for before the body is read, and its refusal is all that happens", async () => {
    const calls: EdgeCall[] = [];
    let pulled = 0;
    await using server = await start({
      authorize: (_, call) => {
        calls.push(call);
        return deny(call.kind === "workflow" ? 404 : 403);
      },
    });
    const body = new ReadableStream({ pull: () => void pulled++ }, { highWaterMark: 0 });
    assertEquals(await problemOf(await server.ask("POST", "add", { body })), [403, "FORBIDDEN"]);
    assertEquals(pulled, 0);
    await server.ask("GET", "noted?key=7");
    assertEquals(await problemOf(await server.ask("POST", "trip/r%2F1/packed", { body: "{}" })), [404, "NOT_FOUND"]);
    assertEquals(calls.map(({ kind, contract }) => `${kind} ${contract}`), [
      "command Add",
      "event Noted",
      "workflow Trip",
    ]);
    assertEquals(calls.map(({ name, action, run, key, signal, meta }) => [name, action, run, key, signal, meta]), [
      ["add", "send", undefined, undefined, undefined, undefined],
      ["noted", "follow", undefined, "7", undefined, undefined],
      ["trip", "tell", "r/1", undefined, "packed", { area: "travel" }],
    ]);
    assertEquals((await deny(401).response("Unauthorized").json()).code, "UNAUTHORIZED");
  });

  /** One request for each action of an entry, to a server whose `authorize` or `identify` is wrong. */
  const statuses = async (options: Options): Promise<number[]> => {
    await using server = await start(options);
    unwrap(await server.app.start(Trip, { to: "Rome" }, { id: "r" }));
    const asked = [
      server.ask("GET", "double?input=1"),
      server.ask("POST", "plain"),
      server.ask("GET", "numbers?input=%7B%22to%22%3A1%7D"),
      server.ask("GET", "noted"),
      server.ask("POST", "trip", { body: JSON.stringify({ to: "Oslo" }) }),
      server.ask("GET", "trip/r"),
      server.ask("POST", "trip/r/packed", { body: '{"bags":1}' }),
    ];
    return await Promise.all(asked.map(async (asking) => {
      const response = await asking;
      await response.body?.cancel();
      return response.status;
    }));
  };

  it("a refusal of another copy of Catga refuses every action (tails, runs and signals were let through)", async () => {
    /** A refusal of another class, which has the same members. */
    const denyOfCopy = (status: 401 | 404) => {
      const refusal = deny(status);
      return Object.assign(Object.create({ response: refusal.response }), refusal) as typeof refusal;
    };
    assertEquals(await statuses({ authorize: () => denyOfCopy(401) }), Array(7).fill(401));
    const thrown = () => {
      throw denyOfCopy(404);
    };
    assertEquals(await statuses({ authorize: thrown }), Array(7).fill(404));
  });

  it("deny takes a status from 400 to 499 and a text, and asks for a token only with 401", async () => {
    const shown = async (...args: unknown[]) => {
      const response = (deny as (...args: unknown[]) => ReturnType<typeof deny>)(...args).response("title");
      const { code, detail } = await response.json();
      return [response.status, code, detail, response.headers.get("www-authenticate")];
    };
    assertEquals(await shown(), [403, "FORBIDDEN", "this is not allowed", null]);
    assertEquals(await shown(401, "the session is over"), [401, "UNAUTHORIZED", "the session is over", "Bearer"]);
    assertEquals(await shown(404), [404, "NOT_FOUND", "there is nothing here", null]);
    for (const status of [400, 499]) {
      assertEquals(await shown(status), [status, "FORBIDDEN", "this is not allowed", null]);
    }
    for (const args of [[399], [500], [200], [401, 5]]) {
      assertThrows(() => (deny as (...args: unknown[]) => unknown)(...args), Error, "deny: ");
    }
  });

  for (
    const [what, caller, says] of [
      ["false", false, "got false"],
      ["a Response", new Response("no", { status: 401 }), "an instance of Response"],
      ["a function", () => {}, "a function"],
    ] as const
  ) {
    it(`authorize that returns ${what} lets nobody in, and the log says what to return`, async () => {
      const logged = await consoleErrors(async () => {
        assertEquals(await statuses({ authorize: () => caller as never }), Array(7).fill(500));
      });
      const text = String(logged[0][1]);
      assert(text.includes("authorize") && text.includes("deny(401)") && text.includes(says), text);
    });
  }

  it("identify that returns no text calls nobody: all callers had one id, and none had a limit", async () => {
    const logged = await consoleErrors(async () => {
      const identify = () => Promise.resolve("ann") as never;
      assertEquals(await statuses({ identify, limit: { rate: 1 } }), Array(7).fill(500));
    });
    assert(String(logged[0][1]).includes("identify must return a string; got"), String(logged[0][1]));
  });

  it("a body with its length is bounded in size and time, too, also when it is longer than that says", async () => {
    await using server = await start({ maxBody: 20, bodyTimeout: 20 });
    const post = async (body: BodyInit, headers: Record<string, string>) =>
      await server.ask("POST", "plain", { body, headers });
    const endless = (text: string) => new ReadableStream({ start: (to) => to.enqueue(new TextEncoder().encode(text)) });
    assertEquals((await post('{"n":1}', { "content-length": "7" })).status, 204);
    for (const length of ["21", "1e3", "99999999999999999999"]) {
      assertEquals(await problemOf(await post("{}", { "content-length": length })), [413, "TOO_LARGE"], length);
    }
    const long = `{"n":1${" ".repeat(20)}}`;
    assertEquals(await problemOf(await post(long, { "content-length": "7" })), [413, "TOO_LARGE"]);
    const slow = { "content-length": "7" };
    assertEquals(await problemOf(await post(endless("{"), slow)), [408, "REQUEST_TIMEOUT"]);
    const invalid = new Uint8Array([255]);
    assertEquals(await problemOf(await post(invalid, { "content-length": "1" })), [400, "INVALID_MESSAGE"]);
    // this request is made like a request of an adapter for Node, some of which have no `bytes()`
    class Adapted extends Request {
      override bytes(): Promise<Uint8Array<ArrayBuffer>> {
        throw new TypeError("not here");
      }
    }
    const headers = { "content-type": "application/json", "content-length": "7" };
    const url = "http://shop.example/api/plain";
    const adapted = new Adapted(url, { method: "POST", body: '{"n":1}', headers });
    assertEquals((await server.handle(adapted)).status, 204);
    // with a transfer coding, `content-length` is ignored: the edge counts the arriving bytes, and refuses an endless
    // body
    const both = { "content-length": "7", "transfer-encoding": "chunked" };
    assertEquals(await problemOf(await post(endless(long), both)), [413, "TOO_LARGE"]);
  });

  it("bodies are JSON, bounded in size and time; an Idempotency-Key is one of an idempotent command", async () => {
    await using server = await start({ maxBody: 20, bodyTimeout: 20 });
    const form = { "content-type": "application/x-www-form-urlencoded" };
    assertEquals(await problemOf(await server.ask("POST", "add", { body: "n=1", headers: form })), [
      415,
      "UNSUPPORTED_MEDIA_TYPE",
    ]);
    assertEquals(await problemOf(await server.ask("POST", "add", { body: '{"n":' })), [400, "INVALID_MESSAGE"]);
    assertEquals(await problemOf(await server.ask("POST", "add", { body: new Uint8Array([255]) })), [
      400,
      "INVALID_MESSAGE",
    ]);
    assertEquals(await problemOf(await server.ask("POST", "add", { body: `{"n":1${" ".repeat(20)}}` })), [
      413,
      "TOO_LARGE",
    ]);
    const slow = new ReadableStream({ start: (to) => to.enqueue(new TextEncoder().encode("{")) });
    assertEquals(await problemOf(await server.ask("POST", "add", { body: slow })), [408, "REQUEST_TIMEOUT"]);
    assertEquals(await problemOf(await server.ask("GET", "double?input=%7B")), [400, "INVALID_MESSAGE"]);
    const key = { "idempotency-key": "once" };
    const [one, two] = [
      await server.ask("POST", "add", { body: '{"n":1}', headers: key }),
      await server.ask("POST", "add", { body: '{"n":1}', headers: key }),
    ];
    assertEquals(await one.json(), await two.json());
    assertEquals(await problemOf(await server.ask("POST", "add", { body: '{"n":2}', headers: key })), [
      409,
      "ID_REUSED",
    ]);
    for (const bad of [{ "idempotency-key": "x".repeat(129) }]) {
      assertEquals(await problemOf(await server.ask("POST", "add", { body: '{"n":1}', headers: bad })), [
        400,
        "INVALID_MESSAGE",
      ]);
    }
    assertEquals(await problemOf(await server.ask("POST", "double", { body: "1", headers: key })), [
      400,
      "INVALID_MESSAGE",
    ]);
  });

  it("nothing of a cause leaks, and what authorize throws is 500, logged and no more", async () => {
    await using server = await start();
    for (const accept of ["*/*", "application/vnd.catga+json"]) {
      const text = await (await server.ask("GET", "break", { headers: { accept } })).text();
      assert(text.includes("HANDLER_FAILED") && !text.includes("password") && !text.includes("node"), text);
    }
    const logged = await consoleErrors(async () => {
      await using broken = await start({
        authorize: () => {
          throw new Error("the database is at 10.0.0.1");
        },
      });
      const text = await (await broken.ask("GET", "double?input=1")).text();
      assert(text.includes('"code":"HANDLER_FAILED"') && !text.includes("10.0.0.1"), text);
    });
    assert(String(logged[0][1]).includes("10.0.0.1"));
  });

  it("what authorize, or the handler of a stream, throws is answered though it cannot be read (the call rejected)", async () => {
    const logged = await consoleErrors(async () => {
      const ownError = Object.defineProperty(new CatgaError("NO_TEA", "none"), "message", {
        get() {
          throw new Error("a getter that throws");
        },
      });
      for (const thrown of [unreadable(), ownError]) {
        await using broken = await start({
          authorize: () => {
            throw thrown;
          },
        });
        const response = await broken.ask("GET", "double?input=1");
        assertEquals([response.status, (await response.json()).code], [500, "HANDLER_FAILED"]);
      }
      const items = (async function* () {
        yield 1;
        throw unreadable();
      })();
      assertStringIncludes(await events(items).text(), '"code":"HANDLER_FAILED"');
    });
    assertEquals(logged.map(([text]) => String(text).split(":", 1)[0]), ["edge", "edge", "events"]);
  });

  it("a caller who calls too often is 429, with the time after which there is room; others are not held up", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const app = await clock.until(catga({ network, logger: QUIET, handlers }));
    const handle = api.handler(app, {
      authorize: (request) => ({ id: request.headers.get("authorization") ?? "" }),
      identify: ({ id }) => id,
      limit: { rate: 0.5, burst: 2, over: "cluster" },
    });
    const ask = async (authorization: string) => {
      const request = new Request("http://shop.example/double?input=1", { headers: { authorization } });
      const response = await clock.until(handle(request));
      return [response.status, response.headers.get("retry-after")];
    };
    assertEquals([await ask("ann"), await ask("ann"), await ask("ann")], [[200, null], [200, null], [429, "2"]]);
    assertEquals(await ask("bob"), [200, null]);
    await clock.advance(1_500);
    assertEquals(await ask("ann"), [429, "1"]);
    await clock.advance(500);
    assertEquals([await ask("ann"), await ask("ann")], [[200, null], [429, "2"]]);
    // a second node of the service halves each node's share of the rate
    const other = await clock.until(catga({ network, logger: QUIET }));
    await clock.advance(3_000);
    assertEquals([await ask("ann"), await ask("ann")], [[429, "1"], [429, "1"]]);
    // with a third one less than one call is this node's share of the burst: one is let in all the same
    const third = await clock.until(catga({ network, logger: QUIET }));
    await clock.advance(60_000);
    assertEquals([await ask("ann"), await ask("ann")], [[200, null], [429, "6"]]);
    await clock.until(Promise.all([app.drain(), other.drain(), third.drain()]));
  });

  it("its open tails have one listener on the app's draining, however many they are, and end by it", async () => {
    const app = await catga({ logger: QUIET, handlers });
    const { draining } = app;
    const add = draining.addEventListener.bind(draining) as AbortSignal["addEventListener"];
    let listeners = 0;
    draining.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    const handle = api.handler(app, { authorize: () => ({ id: "ann" }) });
    const before = listeners;
    const open = async () => await (await handle(new Request("http://shop.example/noted?from=now"))).text();
    const tails = Array.from({ length: 20 }, open);
    const left = new AbortController();
    const leaving = await handle(new Request("http://shop.example/noted?from=now", { signal: left.signal }));
    left.abort();
    assert(!(await leaving.text()).includes("data"));
    assertEquals(listeners, before);
    await app.drain({ timeout: 280_000 });
    for (const text of await Promise.all(tails)) assert(!text.includes("event: end"));
  });

  it("streams and tails end at once, without an event, when the gateway drains (a stream took its whole timeout)", async () => {
    const Endless = stream<void, number>("Endless");
    const endless = Endless.handle(async function* (_, ctx) {
      yield 1;
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
    });
    const app = await catga({ logger: QUIET, handlers: [endless, ...handlers] });
    const handle = edge({ endless: Endless, noted: Noted }).handler(app, { authorize: () => true });
    const [items, tail] = await Promise.all(
      ["endless", "noted"].map((name) => handle(new Request(`http://shop.example/${name}`))),
    );
    const reader = items.body!.getReader();
    let text = "";
    while (!text.includes("data: 1")) text += new TextDecoder().decode((await reader.read()).value);
    await app.drain({ timeout: 280_000 });
    assertEquals((await reader.read()).done, true);
    assertEquals((await tail.text()).includes("event:"), false);
  });

  it("pages of other origins are let in by name alone, cookies only with an origin", async () => {
    await using server = await start({ origins: ["https://shop.example"], credentials: true });
    const preflight = { "access-control-request-method": "POST" };
    const allowed = await server.ask("OPTIONS", "add", { headers: { ...preflight, origin: "https://shop.example" } });
    assertEquals([
      allowed.status,
      allowed.headers.get("access-control-allow-origin"),
      allowed.headers.get("access-control-allow-credentials"),
    ], [204, "https://shop.example", "true"]);
    const other = await server.ask("OPTIONS", "add", { headers: { ...preflight, origin: "https://evil.example" } });
    assertEquals(other.headers.get("access-control-allow-origin"), null);
    assertEquals(other.headers.get("access-control-allow-headers"), null);
    const asking = { origin: "https://shop.example", "access-control-request-headers": "authorization,x-tenant" };
    const named = await server.ask("OPTIONS", "add", { headers: { ...preflight, ...asking } });
    assertEquals(named.headers.get("access-control-allow-headers"), "authorization,x-tenant");
    const own = await server.ask("GET", "double?input=1");
    assertEquals(own.headers.get("vary"), "accept, authorization, cookie, origin");
    const cookie = "session=1";
    const post = async (headers: Record<string, string>) =>
      (await server.ask("POST", "plain", { headers: { cookie, ...headers } })).status;
    assertEquals([await post({}), await post({ origin: "https://evil.example" })], [403, 403]);
    assertEquals([await post({ origin: "https://shop.example" }), await post({ origin: "http://shop.example" })], [
      204,
      204,
    ]);
    assertEquals(await post({ "sec-fetch-site": "same-origin" }), 204);
    assertEquals([await post({ "sec-fetch-site": "none" }), await post({ "sec-fetch-site": "same-site" })], [204, 403]);
    const headersOf = ({ headers }: Response) =>
      ["allow-methods", "max-age", "expose-headers"].map((name) => headers.get(`access-control-${name}`));
    const exposed = "etag, location, retry-after";
    assertEquals(headersOf(allowed), ["GET, POST, DELETE", "600", exposed]);
    assertEquals(headersOf(other), [null, null, null]);
    const from = { headers: { origin: "https://shop.example" } };
    assertEquals(headersOf(await server.ask("GET", "double?input=1", from)), [null, null, exposed]);
    assertEquals((await server.ask("OPTIONS", "add", from)).status, 405); // no preflight
    assertEquals((await server.ask("GET", "double?input=1", { headers: { cookie } })).status, 200);
    // an origin whose pages may not send cookies
    await using without = await start({ origins: ["https://shop.example"] });
    const headers = { cookie, origin: "https://shop.example" };
    assertEquals((await without.ask("POST", "plain", { headers })).status, 403);
    const { headers: given } = await without.ask("GET", "double?input=1", from);
    assertEquals(given.get("access-control-allow-origin"), "https://shop.example");
    assertEquals(given.get("access-control-allow-credentials"), null);
    // a page without an origin, and a request without Host, whose URL has no host either
    const pathOnly = new Request("http://shop.example/api/plain", {
      method: "POST",
      headers: { cookie, origin: "null" },
    });
    Object.defineProperty(pathOnly, "url", { value: "/api/plain" });
    assertEquals((await without.handle(pathOnly)).status, 403);
  });

  it("a limit: the burst is the rate unless it is given; the whole rate for each process, or shared in its service", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const start = (service: string) => clock.until(catga({ network, service, logger: QUIET, handlers }));
    const [shop, other, bank] = [await start("shop"), await start("shop"), await start("bank")];
    await clock.advance(2_000);
    const passed = async (limit: NonNullable<Options["limit"]>) => {
      const handle = api.handler(shop, { authorize: () => undefined, limit });
      const ask = () => clock.until(handle(new Request("http://shop.example/double?input=1")));
      for (let n = 0;; n++) if ((await ask()).status === 429) return n;
    };
    assertEquals(await passed({ rate: 4 }), 4);
    assertEquals(await passed({ rate: 4, burst: 6 }), 6);
    assertEquals(await passed({ rate: 0.25 }), 1);
    assertEquals(await passed({ rate: 4, over: "process" }), 4);
    assertEquals(await passed({ rate: 4, over: "cluster" }), 2); // the node of the other service has no share
    await clock.until(Promise.all([shop.drain(), other.drain(), bank.drain()]));
  });

  it("each handler gets the caller that authorize has named", async () => {
    const [Ask, Change] = [query<void, unknown>("Ask"), command<void, unknown>("Change")];
    const Items = stream<void, unknown>("Items");
    const Run = workflow<void, unknown>("Run");
    const own = [
      Ask.handle((_, { caller }) => caller),
      Change.handle((_, { caller }) => caller),
      Items.handle(function* (_, { caller }) {
        yield caller;
      }),
      Run.handle((flow) => flow.caller),
    ];
    await using app = await catga({ logger: QUIET, handlers: own });
    const handle = edge({ ask: Ask, change: Change, items: Items, run: Run })
      .handler(app, { authorize: () => ({ id: "ann" }) });
    const read = async (method: string, name: string, headers: Record<string, string> = {}) =>
      await (await handle(new Request(`http://shop.example/${name}`, { method, headers }))).text();
    const ann = '{"id":"ann"}';
    assertEquals([await read("GET", "ask"), await read("POST", "ask"), await read("POST", "change")], [ann, ann, ann]);
    assertStringIncludes(await read("GET", "items"), `data: ${ann}\n`);
    const { run } = JSON.parse(await read("POST", "run"));
    assertEquals(await read("GET", `run/${run}`, { prefer: "wait=20" }), ann);
  });

  it("a client that leaves ends its query, and not its command, whose changes would be cut off half-way", async () => {
    const [Ask, Change] = [query<void, string>("Ask"), command<void, string>("Change")];
    const signals: AbortSignal[] = [];
    const go = new AbortController();
    const wait = (_: void, { signal }: { readonly signal: AbortSignal }) => {
      signals.push(signal);
      return new Promise<string>((resolve) => {
        for (const each of [signal, go.signal]) each.addEventListener("abort", () => resolve("done"));
      });
    };
    await using app = await catga({ logger: QUIET, handlers: [Ask.handle(wait), Change.handle(wait)] });
    const handle = edge({ ask: Ask, change: Change }).handler(app, { authorize: () => undefined });
    const leave = async (method: string, name: string) => {
      const client = new AbortController();
      const { signal } = client;
      const count = signals.length;
      const response = handle(new Request(`http://shop.example/${name}`, { method, signal }));
      while (signals.length === count) await app.clock.sleep(1);
      client.abort();
      return { response, signal: signals.at(-1)! };
    };
    for (const method of ["GET", "POST"]) {
      const asked = await leave(method, "ask");
      assertEquals([(await asked.response).status, asked.signal.aborted], [499, true]);
    }
    const changing = await leave("POST", "change");
    assertEquals(changing.signal.aborted, false);
    go.abort();
    assertEquals([(await changing.response).status, changing.signal.aborted], [200, false]);
  });

  it("an Idempotency-Key is 1 to 128 characters, fits behind the caller, and gives way to the id of a contract", async () => {
    const Own = command<{ n: number }, number>("Own", { idempotent: true, id: ({ n }) => `${n}` });
    let runs = 0;
    const own = Own.handle(() => ++runs);
    await using app = await catga({ logger: QUIET, handlers: [own, ...handlers] });
    const listed = edge({ own: Own, add: Add });
    const send = async (name: string, key: string, identity: string, n = 1) => {
      const handle = listed.handler(app, { authorize: () => undefined, identify: () => identity });
      const headers = { "content-type": "application/json", "idempotency-key": key };
      const init = { method: "POST", headers, body: JSON.stringify({ n }) };
      const response = await handle(new Request(`http://shop.example/${name}`, init));
      return response.ok ? response.json() : response.status;
    };
    const [longest, ann] = ["k".repeat(128), "a".repeat(127)];
    assertEquals(typeof (await send("add", longest, ann)).total, "number");
    assertEquals([await send("add", "", "a"), await send("add", `${longest}k`, "a")], [400, 400]);
    assertEquals(await send("add", longest, `${ann}a`), 400);
    // each slash of a caller's text has three characters in the id
    assertEquals(await send("add", longest, "/".repeat(43)), 400);
    assertEquals([await send("own", "k", "a"), await send("own", "l", "b"), await send("own", "k", "a", 2)], [1, 1, 2]);
  });

  it("each run has its own state, times, end and signals, with the statuses of its entry", async () => {
    const Visit = workflow<{ days: number }, string>("Visit");
    const Guests = Visit.signal<{ count: number }>("Guests");
    const visit = Visit.handle(async (flow, { days }) => {
      if (days < 0) return fail("PAST", "it is over");
      if (days > 0) await flow.sleep("trip", days * 86_400_000);
      const [one, two] = [await flow.wait(Guests), await flow.wait(Guests)];
      return `${one.count} ${two.count}`;
    });
    await using app = await catga({ logger: QUIET, handlers: visit });
    const listed = { visit: [Visit, { tell: { guests: Guests }, cancel: true, failures: { PAST: 410 } }] } as const;
    const handle = edge(listed).handler(app, { authorize: () => undefined });
    const ask = async (method: string, path: string, { body, headers = {} }: {
      readonly body?: unknown;
      readonly headers?: Record<string, string>;
    } = {}) => {
      const type = body === undefined ? {} : { "content-type": "application/json" };
      const init = {
        method,
        headers: { ...type, ...headers },
        ...body !== undefined && { body: JSON.stringify(body) },
      };
      const response = await handle(new Request(`http://shop.example/visit${path}`, init));
      const text = await response.text();
      return { status: response.status, value: text === "" ? undefined : JSON.parse(text) };
    };
    const start = async (id: string, days: number) =>
      (await ask("POST", "", { body: { days }, headers: { "idempotency-key": id } })).status;
    assertEquals([await start("a", 0), await start("b", 2), await start("c", -1)], [202, 202, 202]);
    const ended = await ask("GET", "/c", { headers: { prefer: "wait=20" } });
    assertEquals([ended.status, ended.value.code, ended.value.ended], [410, "PAST", true]);
    let sleeping = await ask("GET", "/b");
    while (sleeping.value.pending.length === 0) sleeping = await ask("GET", "/b");
    const [{ name, next }] = sleeping.value.pending;
    const inDays = (Date.parse(next) - Date.now()) / 86_400_000;
    assertEquals([sleeping.status, sleeping.value.run, name, Math.round(inDays)], [202, "b", "trip", 2]);
    assertEquals("stage" in sleeping.value, false);
    assertEquals((await ask("GET", "/a")).value.run, "a");
    // a signal that is repeated under its key counts once
    const tell = async (key: string, count: number) =>
      (await ask("POST", "/a/guests", { body: { count }, headers: { "idempotency-key": key } })).status;
    assertEquals([await tell("x", 1), await tell("x", 1), await tell("y", 2)], [202, 202, 202]);
    const result = await ask("GET", "/a", { headers: { prefer: "wait=20" } });
    assertEquals([result.status, result.value], [200, "1 2"]);
    assertEquals((await ask("DELETE", "/b?reason=ill")).status, 202);
    const cancelled = await ask("GET", "/b", { headers: { prefer: "wait=20" } });
    assertEquals([cancelled.value.code, cancelled.value.detail.includes("ill")], ["CANCELLED", true]);
    assertEquals([await start("d", 2), (await ask("DELETE", "/d")).status], [202, 202]);
    const unsaid = await ask("GET", "/d", { headers: { prefer: "wait=20" } });
    assertStringIncludes(unsaid.value.detail, "cancelled by its caller");
  });

  it("a question is answered, once for its key, or fails as the run says; another than the listed ones is 404", async () => {
    const Visit = workflow<void, number>("Visit");
    const Move = Visit.question<{ day: number }, { fee: number }, "TOO_LATE" | "UNAVAILABLE">("Move");
    const Slow = Visit.question<void, void>("Slow");
    const visit = Visit.handle(async (flow) => {
      for (let asked = 1;; asked++) {
        const { input: { day }, answer, fail } = await flow.wait(Move);
        if (day < 0) fail("TOO_LATE", "it is over");
        else if (day === 0) fail("UNAVAILABLE", "the run itself says so");
        else answer({ fee: asked });
        if (day === 9) return asked;
      }
    });
    await using app = await catga({ logger: QUIET, handlers: visit });
    const listed = { visit: [Visit, { ask: { move: Move, slow: Slow }, failures: { TOO_LATE: 410 } }] } as const;
    const calls: EdgeCall[] = [];
    const handle = edge(listed).handler(app, {
      authorize: (_, call) => (calls.push(call), call.question === "slow" && call.run === "b" ? deny(403) : undefined),
      identify: () => "ann",
      maxBody: 100,
      maxWait: 20_000,
    });
    const ask = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
      const init = { method: "POST", headers: { "content-type": "application/json", ...headers } };
      const response = await handle(
        new Request(`http://shop.example/visit/${path}`, { ...init, body: JSON.stringify(body) }),
      );
      const text = await response.text();
      const { code, ended, ...value } = text === "" ? {} : JSON.parse(text);
      return code === undefined ? [response.status, value] : [response.status, code, ended];
    };
    for (const id of ["a", "b"]) unwrap(await app.start(Visit, undefined, { id }));
    const key = { "idempotency-key": "k" };
    assertEquals(await ask("a/move", { day: 1 }, key), [200, { fee: 1 }]);
    assertEquals(await ask("a/move", { day: 1 }, key), [200, { fee: 1 }]);
    assertEquals(await ask("a/move", { day: -1 }), [410, "TOO_LATE", true]);
    assertEquals(await ask("a/move", { day: 0 }), [503, "UNAVAILABLE", true]);
    assertEquals(await ask("a/slow", undefined, { prefer: "wait=0" }), [504, "NOT_ENDED", undefined]);
    assertEquals(await ask("b/slow", undefined), [403, "FORBIDDEN", undefined]);
    assertEquals(await ask("a/hidden", undefined), [404, "NOT_FOUND", undefined]);
    assertEquals(await ask("none/move", { day: 1 }), [404, "NO_RUN", undefined]);
    assertEquals(await ask("a/move", { day: 1, why: "x".repeat(100) }), [413, "TOO_LARGE", undefined]);
    assertEquals(await ask("a/move?day=1", { day: 1 }), [400, "INVALID_MESSAGE", undefined]);
    assertEquals(await ask("a/move", { day: 9 }), [200, { fee: 4 }]);
    assertEquals(unwrap(await app.result(Visit, "a", { timeout: 60_000 })), 4);
    const [{ action, run, signal, question }] = calls;
    assertEquals([action, run, signal, question], ["ask", "a", undefined, "move"]);
    // the questions are described
    const { paths } = edge(listed).openapi({ title: "t", version: "1" }) as { paths: Record<string, unknown> };
    assertEquals(Object.keys(paths).filter((path) => path.endsWith("/move")), ["/visit/{run}/move"]);
    const Packed = Visit.signal("Packed");
    for (
      const [ask, expected] of [
        [{ move: Packed }, "ask.move must be a question of Visit"],
        [{ "a b": Move }, "a name has 1 to 64"],
        [[Move], "an object of questions"],
      ] as const
    ) {
      assertThrows(() => edge({ visit: [Visit, { ask: ask as never }] }), TypeError, expected);
    }
    assertThrows(
      () => edge({ visit: [Visit, { tell: { move: Packed }, ask: { move: Move } }] }),
      TypeError,
      "one path",
    );
    assertThrows(() => edge({ visit: [Visit, { tell: { move: Move as never } }] }), TypeError, "a signal of Visit");
  });

  it("a tail begins at now, at the start, at a position or at a date; anything else is 400", async () => {
    await using server = await start();
    for (const from of ["now", "start", "0", "4711", "2026-05-01", "2026-05-01T12:00:00Z"]) {
      const tail = await server.ask("GET", `noted?from=${from}`);
      await tail.body!.cancel();
      assertEquals(tail.status, 200, from);
    }
    for (const from of ["soon", "-1", "1.5", "9007199254740993", "2026-13-01", "1 May 2026", "20260501x"]) {
      const refused = await server.ask("GET", `noted?from=${encodeURIComponent(from)}`);
      assertEquals(await problemOf(refused), [400, "INVALID_MESSAGE"], from);
    }
  });

  it("a query of an entry has the statuses of its failures by GET and by POST", async () => {
    const Find = query<void, string, "GONE">("Find");
    await using app = await catga({ logger: QUIET, handlers: Find.handle(() => fail("GONE", "it is gone")) });
    const handle = edge({ find: [Find, { failures: { GONE: 410 } }] }).handler(app, { authorize: () => undefined });
    for (const method of ["GET", "POST"]) {
      const response = await handle(new Request("http://shop.example/find", { method }));
      assertEquals(await problemOf(response), [410, "GONE"], method);
    }
  });

  it("a value that JSON cannot hold is INVALID_RESPONSE, and the client gets no more than this code", async () => {
    const Odd = query<void, unknown>("Odd");
    await using app = await catga({ logger: QUIET, handlers: Odd.handle(() => ({ secret: () => 1 })) });
    const handle = edge({ odd: Odd }).handler(app, { authorize: () => undefined });
    const response = await handle(new Request("http://shop.example/odd"));
    const text = await response.text();
    assertEquals([response.status, JSON.parse(text).code, text.includes("secret")], [500, "INVALID_RESPONSE", false]);
  });

  it("the id of a run may have slashes, which a proxy may have decoded; only a POST has a signal behind it", async () => {
    await using server = await start({ identify: () => "ann" });
    const headers = { "idempotency-key": "k" };
    const started = await server.ask("POST", "trip", { body: '{"to":"Rome"}', headers });
    const { run } = await started.json();
    assertEquals([run, started.headers.get("location")], ["ann/k", "trip/ann%2Fk"]);
    assertEquals((await (await server.ask("GET", `trip/${run}`)).json()).run, run);
    assertEquals((await server.ask("POST", `trip/${run}/packed`, { body: '{"bags":2}' })).status, 202);
    const ended = await server.ask("GET", `trip/${run}`, { headers: { prefer: "wait=20" } });
    assertEquals(ended.status, 200);
  });

  it("workflows: 202 with the place of the run, 202 with what it waits for, then its result", async () => {
    await using server = await start();
    const started = await server.ask("POST", "trip", { body: '{"to":"oslo"}', headers: { "idempotency-key": "t 1" } });
    assertEquals([started.status, started.headers.get("location"), await started.json()], [202, "trip/t%201", {
      run: "t 1",
    }]);
    for (;;) {
      const open = await server.ask("GET", "trip/t%201");
      const { run, status, stage, pending } = await open.json();
      assertEquals([open.status, run], [202, "t 1"]);
      if (status === "waiting") {
        assertEquals([stage, pending], ["booked", [{ name: "Packed" }]]);
        break;
      }
      await server.app.clock.sleep(1);
    }
    const waiting = server.ask("GET", "trip/t%201", { headers: { prefer: "respond-async, wait=20" } });
    assertEquals((await server.ask("POST", "trip/t%201/packed", { body: '{"bags":2}' })).status, 202);
    assertEquals(await (await waiting).json(), "oslo 2");
    assertEquals(await problemOf(await server.ask("GET", "trip/none")), [404, "NO_RUN"]);
    assertEquals(await problemOf(await server.ask("GET", `trip/${"x".repeat(257)}`)), [404, "NOT_FOUND"]);
  });

  it("what ends a run says so, and not the failure of a call for a run that has ended", async () => {
    const Refund = workflow<void>("Refund");
    await using app = await catga({ logger: QUIET, handlers: Refund.handle(() => fail("NO", "no")) });
    const handle = edge({ refund: Refund }).handler(app, { authorize: () => undefined });
    const { run } = await (await handle(new Request("http://shop.example/refund", { method: "POST" }))).json();
    await app.result(Refund, run);
    const read = async () => {
      const response = await handle(new Request(`http://shop.example/refund/${run}`));
      const { code, ended } = await response.json();
      return [response.status, code, ended];
    };
    assertEquals(await read(), [422, "NO", true]);
    const error = new CatgaError("UNAVAILABLE", "no answer", { retryable: true });
    Object.defineProperty(app, "result", { value: () => Promise.resolve({ ok: false, error }) });
    assertEquals(await read(), [503, "UNAVAILABLE", undefined]);
  });

  it("the place of a run is right behind a proxy that takes a prefix off (it lacked the prefix)", async () => {
    await using server = await start({ base: "" });
    const body = { method: "POST", headers: { "content-type": "application/json" }, body: '{"to":"Rome"}' };
    // the proxy got https://shop.example/api/trip
    const started = await server.handle(new Request("http://node/trip", body));
    const { run } = await started.json();
    const place = new URL(started.headers.get("location")!, "https://shop.example/api/trip");
    assertEquals(place.href, `https://shop.example/api/trip/${encodeURIComponent(run)}`);
  });

  it("HEAD is answered where GET is, with the headers of GET (it was 405)", async () => {
    await using server = await start();
    const [got, head] = await Promise.all(["GET", "HEAD"].map((method) => server.ask(method, "double?input=21")));
    assertEquals([head.status, [...head.headers]], [200, [["content-length", "2"], ...got.headers].sort()]);
    const tag = { "if-none-match": got.headers.get("etag")! };
    assertEquals((await server.ask("HEAD", "double?input=21", { headers: tag })).status, 304);
    const { run } = await (await server.ask("POST", "trip", { body: '{"to":"Rome"}' })).json();
    assertEquals((await server.ask("HEAD", `trip/${encodeURIComponent(run)}`)).status, 202);
    for (const path of ["numbers?input=%7B%22to%22%3A3%7D", "noted"]) {
      const tail = await server.ask("HEAD", path);
      assertEquals([tail.status, tail.headers.get("content-type"), tail.body], [200, "text/event-stream", null]);
    }
    assertEquals((await server.ask("HEAD", "add")).status, 405);
    assertEquals((await server.ask("DELETE", "double")).headers.get("allow"), "GET, HEAD, POST");
    assertEquals((await server.ask("HEAD", "double?input=1", { headers: { cookie: "a=1" } })).status, 200);
  });

  it("an answer to HEAD has no body: over HTTP/2 Deno.serve sent it, and clients gave the answer up", async () => {
    await using server = await start();
    for (const path of ["double?input=21", "double?input=x", "trip/none", "add"]) {
      const { body, headers } = await server.ask("HEAD", path);
      const { length } = await (await server.ask("GET", path)).text();
      assertEquals([path, body, headers.get("content-length")], [path, null, `${length}`]);
    }
  });

  it("a body that a middleware has locked is 500, and logged, as one that it has read (it was 400)", async () => {
    await using server = await start();
    const logged = await consoleErrors(async () => {
      for (const length of [{ "content-length": "7" }, {}]) {
        const headers = { "content-type": "application/json", ...length };
        const request = new Request("http://shop.example/api/add", { method: "POST", headers, body: '{"n":1}' });
        request.body!.getReader();
        assertEquals(await problemOf(await server.handle(request)), [500, "HANDLER_FAILED"]);
      }
    });
    assertEquals(logged.map((line) => line.join(" ").includes("request.clone()")), [true, true]);
  });

  it("a tail gives events with their positions as ids, and goes on behind the last one that a client has seen", async () => {
    await using server = await start();
    for (const n of [1, 2, 3]) unwrap(await server.app.publish(Noted, { n }));
    const text = async (reader: ReadableStreamDefaultReader<Uint8Array>, count: number) => {
      let all = "";
      while (all.split("data:").length <= count) all += new TextDecoder().decode((await reader.read()).value);
      return all;
    };
    const reader = (await server.ask("GET", "noted?from=start")).body!.getReader();
    const all = await text(reader, 3);
    const [, first] = /id: (\d+)\ndata:/.exec(all)!; // places without an event come before it on a busy machine
    await reader.cancel();
    const again = (await server.ask("GET", "noted", { headers: { "last-event-id": first } })).body!.getReader();
    const behind = await text(again, 1);
    assert(behind.includes('"payload":{"n":2}') && !behind.includes('"payload":{"n":1}'), behind);
    await again.cancel();
    assertEquals(await problemOf(await server.ask("GET", "noted?from=yesterday")), [400, "INVALID_MESSAGE"]);
    assertEquals(
      await problemOf(
        await server.ask("GET", "numbers?input=%7B%22to%22%3A2%7D", { headers: { "last-event-id": "1" } }),
      ),
      [400, "INVALID_MESSAGE"],
    );
  });

  it("a tail that comes back after its events have expired fails, though the log has older messages; one that stayed goes on", async () => {
    const clock = new VirtualClock();
    const Brief = event<{ n: number }>("Brief", { durable: { keep: 120_000 } });
    const Lasting = event("Lasting", { durable: { keep: Infinity } });
    const app = await clock.until(catga({ network: new MemoryNetwork({ clock }), id: "gateway", logger: QUIET }));
    const handle = edge({ brief: Brief }).handler(app, { base: "/api", authorize: () => ({}), keepAlive: 5 });
    const publish = async (n: number) => unwrap(await clock.until(app.publish(Brief, { n })));
    /** Opens a tail. Its `read` resolves with all that it has said, as soon as that is enough. */
    const open = async (headers: Record<string, string> = {}) => {
      const answer = await handle(new Request("http://shop.example/api/brief?from=start", { headers }));
      const reader = answer.body!.getReader();
      let text = "";
      const read = async (isEnough: () => boolean) => {
        while (!isEnough()) {
          let over = false;
          const chunk = reader.read().finally(() => over = true);
          // comments come by the machine's clock, events by that of the test
          for (; !over; await new Promise((resolve) => setTimeout(resolve, 1))) await clock.advance(10);
          const { done, value } = await chunk;
          if (done) break;
          text += new TextDecoder().decode(value);
        }
        return text;
      };
      return {
        event: (part: string) => read(() => text.includes(part)),
        place: (least: number) => read(() => lastId(text) > least).then(lastId),
        close: () => reader.cancel(),
      };
    };
    const lastId = (text: string) => Number([...text.matchAll(/id: (\d+)\n/g)].at(-1)?.[1] ?? 0);

    const lasting = async () => unwrap(await clock.until(app.publish(Lasting)));
    await lasting();
    await publish(1);
    const left = await open();
    const place = await left.event('"n":1').then(lastId);
    await left.close();
    await publish(2);
    await clock.advance(121_000);
    await publish(3);
    const late = await open({ "last-event-id": `${place}` });
    const failure = await late.event("data:");
    assertStringIncludes(failure, "event: failure");
    assertStringIncludes(failure, '"LOG_MISMATCH"');
    assert(!failure.includes('"n":3'), failure);

    const stayed = await open();
    const third = await stayed.event('"n":3').then(lastId);
    await clock.advance(121_000);
    await lasting();
    await clock.advance(10_000);
    const last = await stayed.place(third + 1_024);
    await stayed.close();
    await publish(4);
    const again = await open({ "last-event-id": `${last}` });
    assertStringIncludes(await again.event("data:"), '"n":4');
    await again.close();
    await clock.until(app.drain());
  });

  it("a place that the function resume cannot read is 400 (it was 500, and logged)", async () => {
    const Lines = stream<{ from: number }, { at: number }>("Lines", { resume: (_, last) => ({ from: last!.at + 1 }) });
    await using app = await catga({ logger: QUIET, handlers: Lines.handle(function* () {}) });
    const from = (input: { from: number }, id: string) => ({ from: input.from + BigInt(id).toString().length });
    const later = async (_: unknown, id: string) => ({ from: Number(await Promise.reject(new Error(id))) });
    const listed = {
      own: Lines,
      given: [Lines, { resume: { id: () => "1", from } }],
      later: [Lines, { resume: { id: () => "1", from: later } }],
    } as const;
    const handle = edge(listed).handler(app, { authorize: () => undefined });
    const ask = async (path: string, last: string) =>
      await problemOf(await handle(new Request(`http://shop.example/${path}`, { headers: { "last-event-id": last } })));
    for (const path of ["own?input=1", "given", "given?input=1", "later"]) {
      assertEquals(await ask(path, "null"), [400, "INVALID_MESSAGE"], path);
    }
  });

  it("resume of an entry names the place of each item and where to go on; it precedes that of the contract", async () => {
    type Row = { name: string };
    const Rows = stream<{ after?: string }, Row>("Rows", { resume: () => ({ after: "by the contract" }) });
    const rows = ["a", "b: ü\n2", "c"];
    const handler = Rows.handle(function* ({ after }) {
      for (const name of rows.slice(after === undefined ? 0 : rows.indexOf(after) + 1)) yield { name };
    });
    await using app = await catga({ logger: QUIET, handlers: handler });
    const resume = { id: ({ name }: Row) => name, from: (_: unknown, after: string) => ({ after }) };
    const long = { ...resume, id: () => "x".repeat(4_097) };
    const handle = edge({ rows: [Rows, { resume }], long: [Rows, { resume: long }] })
      .handler(app, { authorize: () => undefined });
    const read = async (name: string, headers: Record<string, string> = {}) =>
      withoutComments(await (await handle(new Request(`http://shop.example/${name}?input={}`, { headers }))).text());
    const [first, second, third, end] = (await read("rows")).split("\n\n");
    assertEquals([first, third], ['id: a\ndata: {"name":"a"}', 'id: c\ndata: {"name":"c"}']);
    const place = /^id: (.*)$/m.exec(second)![1];
    assertEquals(await read("rows", { "last-event-id": place }), `${third}\n\n${end}\n\n`);
    assertStringIncludes(await read("long"), "event: failure\n");
    assertStringIncludes(await read("long"), '"code":"TOO_LARGE"');
  });

  it("Catga's client gets the place of a run, the time to wait and the type of a failure, as others do", async () => {
    const Later = command<void, void, "LATER">("Later");
    const later = Later.handle(() => {
      throw new CatgaError("LATER", "not now", { retryable: true });
    });
    const Asked = query("Asked");
    await using app = await catga({ logger: QUIET, handlers: [later, ...handlers] });
    const handle = edge({ later: Later, asked: Asked, trip: Trip }).handler(app, { authorize: () => undefined });
    const VALUES = "application/vnd.catga+json";
    const ask = async (name: string, type: string, body?: string) => {
      const headers = { accept: type, "content-type": "application/json" };
      const request = new Request(`http://shop.example/${name}`, { method: "POST", headers, ...body && { body } });
      const response = await handle(request);
      const { status, headers: given } = response;
      await response.body?.cancel();
      return [status, given.get("content-type"), given.get("retry-after"), given.get("location") !== null];
    };
    assertEquals(await ask("later", VALUES), [422, VALUES, "1", false]);
    assertEquals(await ask("later", "*/*"), [422, "application/problem+json", "1", false]);
    assertEquals(await ask("asked", VALUES), [503, VALUES, "1", false]);
    assertEquals(await ask("trip", VALUES, '{"to":"Rome"}'), [202, VALUES, null, true]);
    assertEquals(await ask("trip", "*/*", '{"to":"Rome"}'), [202, "application/json", null, true]);
  });

  it("no cache gives a caller the answer that was another's: it depends on who sends the request", async () => {
    await using server = await start();
    const read = await server.ask("GET", "double?input=21");
    assertEquals(read.headers.get("vary"), "accept, authorization, cookie");
    const etag = read.headers.get("etag")!;
    const again = await server.ask("GET", "double?input=21", { headers: { "if-none-match": etag } });
    assertEquals([again.status, again.headers.get("vary")], [304, "accept, authorization, cookie"]);
    // a request with the ETag of another answer gets the full answer
    const other = await server.ask("GET", "double?input=4", { headers: { "if-none-match": etag } });
    assertEquals([other.status, await other.text()], [200, "8"]);
  });

  it("an item that cannot be sent ends a stream with a failure, and is logged (the response went on without it)", async () => {
    const Odd = stream<void, number>("Odd");
    const odd = Odd.handle(function* () {
      yield 1;
      yield (() => 2) as unknown as number; // a value that only a program without types can yield
      yield 3;
    });
    await using app = await catga({ logger: QUIET, handlers: odd });
    const handle = edge({ odd: Odd }).handler(app, { authorize: () => undefined });
    for (const accept of ["text/event-stream", "application/vnd.catga+json"]) {
      const logged = await consoleErrors(async () => {
        const text = await (await handle(new Request("http://shop.example/odd", { headers: { accept } }))).text();
        assert(text.startsWith(":5000\n\n"), text);
        assert(withoutComments(text).startsWith("data: 1\n\nevent: failure\n"), text);
        assert(text.includes("INVALID_RESPONSE"), text);
        assert(!text.includes("data: 3"), text);
      });
      assert(logged.length > 0);
    }
  });

  it("an origin that no browser sends is refused and shown (a pattern let nobody in)", async () => {
    await using app = await catga({ logger: QUIET });
    const wrong = ["*", "null", "https://*.shop.example", "https://shop.example/", "shop.example", 5];
    const wrongApps = ["capacitor://", "capacitor://localhost/", "tauri://*", "file://", "data:x", "blob:https://a.b"];
    for (const origin of [...wrong, ...wrongApps]) {
      const origins = ["https://shop.example", origin] as string[];
      const says = `whole, like "https://shop.example"; got ${JSON.stringify(origin)}`;
      assertThrows(() => api.handler(app, { authorize: () => undefined, origins }), TypeError, says);
    }
  });

  it("the origin of an app in a web view is let in (its scheme was refused by the option)", async () => {
    const origins = [
      "capacitor://localhost",
      "tauri://localhost",
      "chrome-extension://abcdefgh",
      "http://localhost:3000",
    ];
    await using server = await start({ origins, credentials: true });
    for (const origin of origins) {
      const read = await server.ask("GET", "double?input=1", { headers: { origin } });
      assertEquals(read.headers.get("access-control-allow-origin"), origin);
      assertEquals((await server.ask("POST", "plain", { headers: { origin, cookie: "a=1" } })).status, 204);
    }
    const other = { origin: "capacitor://other", cookie: "a=1" };
    assertEquals((await server.ask("POST", "plain", { headers: other })).status, 403);
  });

  it("misuse throws at once", async () => {
    const Cart = entity("Cart", { initial: () => 0 });
    const wrong: [unknown, RegExp][] = [
      [[Double], /an object of contracts by name; got an array/],
      [{ a: 7 }, /must be a command/],
      [{ a: event("Passing") }, /only a durable event/],
      [{ "a/b": Double }, /a name has/],
      [{ a: [Double, { chache: "x" }] }, /unknown option chache/],
      [{ a: [Add, { cache: "x" }] }, /unknown option cache/],
      [{ a: Cart }, /must be a command/],
      [{ a: Double.handle((n) => n) }, /got a handler of Double: list its contract/],
    ];
    for (const [entries, says] of wrong) assertThrows(() => edge(entries as never), TypeError, says.source);
    await using app = await catga({ logger: QUIET });
    const authorize = () => undefined;
    for (
      const options of [
        {},
        { authorize, bass: "" },
        { authorize, base: "api/" },
        { authorize, limit: { rate: 0 } },
        {
          authorize,
          origins: ["x"],
        },
        { authorize, maxBody: 0 },
        { authorize, parameters: "token" },
      ]
    ) {
      assertThrows(() => api.handler(app, options as never), Error, "handler: ");
    }
  });
});

describe("the key of an entry", () => {
  const Rename = command<{ name: string }, string>("SetName", { key: ({ name }) => name, route: "hash" });
  const Get = query<void, string>("GetKey");
  const Rows = stream<void, string>("KeyRows");
  const Renamed = event<{ name: string }>("Renamed", { durable: true, key: ({ name }) => name.split("/")[0] });
  const key = ({ tenant }: { tenant: string }) => tenant;
  const keyed = edge({
    set: [Rename, { key }],
    get: [Get, { key }],
    rows: [Rows, { key }],
    renamed: [Renamed, { key }],
  });

  async function startKeyed(authorize: () => { tenant: string } | undefined) {
    const keys: unknown[] = [];
    type Next = () => Promise<Result<unknown>>;
    const pass = (_: unknown, next: Next) => next();
    const send = ({ options: { key } }: OutgoingMessage, next: Next) => (keys.push(key), next());
    const app = await catga({
      logger: QUIET,
      handlers: [
        Rename.handle(({ name }) => name),
        Get.handle(() => ""),
        Rows.handle(function* () {
          yield "";
        }),
      ],
      behaviors: [Object.assign(pass, { send })],
    });
    const handle = keyed.handler(app, { authorize });
    return { app, keys, handle, [Symbol.asyncDispose]: () => app.drain() };
  }

  it("is made of the caller, not of the payload: commands, queries, streams", async () => {
    await using server = await startKeyed(() => ({ tenant: "north" }));
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ name: "south" });
    const set = await server.handle(new Request("http://localhost/set", { method: "POST", headers, body }));
    assertEquals(await set.json(), "south");
    await (await server.handle(new Request("http://localhost/get"))).text();
    await (await server.handle(new Request("http://localhost/get", { method: "POST", headers, body: "" }))).text();
    await (await server.handle(new Request("http://localhost/rows"))).text();
    assertEquals(server.keys, ["north", "north", "north", "north"]);
  });

  it("has a caller follow the events of its key alone, from wherever; another key is 403", async () => {
    await using server = await startKeyed(() => ({ tenant: "north" }));
    const { app, handle } = server;
    for (const name of ["north/1", "south/1", "north/2", "south/2"]) unwrap(await app.publish(Renamed, { name }));
    for (const more of ["", "&key=north"]) {
      const { body } = await handle(new Request(`http://localhost/renamed?from=start${more}`));
      const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      while (!text.includes("north/2")) text += (await reader.read()).value;
      await reader.cancel();
      assertEquals([text.includes("north/1"), text.includes("south")], [true, false]);
    }
    for (const other of ["south", "", "*"]) {
      const refused = await handle(new Request(`http://localhost/renamed?from=start&key=${other}`));
      assertEquals(await problemOf(refused), [403, "FORBIDDEN"]);
    }
  });

  it("that is none is 500, so that nobody gets the events of all", async () => {
    for (const caller of [undefined, { tenant: "" }, { tenant: undefined }, { tenant: Promise.resolve("north") }]) {
      await using server = await startKeyed(() => caller as never);
      const logged = await consoleErrors(async () => {
        assertEquals((await server.handle(new Request("http://localhost/renamed"))).status, 500);
      });
      assertEquals(logged.length, 1);
    }
    assertThrows(() => edge({ renamed: [Renamed, { key: "north" as never }] }), TypeError, "key");
    assertThrows(() => edge({ trip: [Trip, { key }] }), TypeError, "key");
  });
});

describe("callbacks of an edge", () => {
  const Order = workflow<void, unknown>("Order");
  const callbacks = edge({ order: Order });

  async function begin(options: Partial<EdgeHandlerOptions<undefined>> = {}) {
    const given = Promise.withResolvers<readonly [string, string]>();
    const order = Order.handle(async (flow) => {
      const [paid, sent] = [flow.callback("paid"), flow.callback("sent")];
      await flow.step("tell", () => given.resolve([paid.url, sent.url]));
      return [(await paid.result).value, (await sent.result).error?.code];
    });
    const app = await catga({ logger: QUIET, handlers: order });
    const handle = callbacks.handler(app, { base: "/api", callbacks: true, authorize: () => deny(401), ...options });
    const run = unwrap(await app.start(Order));
    const post = (path: string, body?: unknown, method = "POST", type = "application/json") => {
      const given = body === undefined || method === "GET" ? {} : { body: JSON.stringify(body) };
      const headers = { "content-type": type, cookie: "a=b", origin: "https://pay.example" };
      return handle(new Request(`http://shop.example/api${path}`, { method, headers, ...given }));
    };
    return { app, run, urls: await given.promise, post, handle, [Symbol.asyncDispose]: () => app.drain() };
  }

  it("are completed by whoever has the token, which nobody else needs to allow; a repeated request is 204 again", async () => {
    await using shop = await begin();
    const { post, urls: [paid, sent] } = shop;
    assertEquals((await post(paid, { cents: 7 })).status, 204);
    assertEquals((await post(paid, { cents: 7 })).status, 204);
    const used = await post(paid, { cents: 8 });
    assertEquals([used.status, (await used.json()).code], [410, "CALLBACK_ENDED"]);
    assertEquals((await post(`${sent}/fail`, { code: "LOST", message: "on its way" })).status, 204);
    assertEquals(unwrap(await shop.app.result(Order, shop.run, { timeout: 60_000 })), [{ cents: 7 }, "LOST"]);
  });

  it("a wrong token is 404 with the same text, other methods, bodies and types are refused, and entries go on", async () => {
    await using shop = await begin();
    const { post, urls: [paid, sent] } = shop;
    const texts = new Set<string>();
    for (const wrong of ["/callbacks/x", `${paid}x`, `${paid.split(".")[0]}.${sent.split(".")[1]}`, "/callbacks/%zz"]) {
      const { status, text } = await post(wrong, 1).then(async (answer) => ({
        status: answer.status,
        text: await answer.text(),
      }));
      assertEquals(status, 404);
      texts.add(text);
    }
    assertEquals([...texts].map((text) => JSON.parse(text).code), ["NO_CALLBACK"]);
    const statuses = [
      (await post(`${paid}/fail`, { message: "no code" })).status,
      (await post(`${paid}/fail`, "LOST")).status,
      (await post(`${paid}/fail`, { code: "LOST", message: "x".repeat(1_001) })).status,
      (await post(paid, undefined, "GET")).status,
      (await post(paid, 1, "POST", "text/plain")).status,
      (await post(`${paid}/else`, 1)).status,
      (await post("/callbacks/", 1)).status,
      (await post("/order")).status, // `authorize` refuses it
    ];
    assertEquals(statuses, [400, 400, 400, 405, 415, 404, 404, 403]);
    assertEquals((await post(paid, 1)).status, 204);
  });

  it("have a limit: one for all, or for each who calls, apart from that of the callers of entries", async () => {
    const statuses = async (callbacks: EdgeHandlerOptions<undefined>["callbacks"], ...from: string[]) => {
      await using shop = await begin({ callbacks, limit: { rate: 0.001, burst: 2 }, authorize: () => undefined });
      const handle = (path: string, headers: Record<string, string>, body: unknown = 1) =>
        shop.handle(
          new Request(`http://shop.example/api${path}`, {
            method: "POST",
            headers: { "content-type": "application/json", ...headers },
            body: JSON.stringify(body),
          }),
        );
      const answers = [];
      for (const one of from) answers.push(await handle("/callbacks/x.y", { "x-real-ip": one }));
      const last = answers.at(-1)!;
      if (last.status === 429) {
        assertEquals([last.headers.get("retry-after"), (await last.json()).code], ["1000", "RATE_LIMITED"]);
      }
      // entries have a limit of their own, which callers share
      const others = [await handle("/order", {}, null), await handle("/order", {}, null)];
      return [...answers, ...others].map(({ status }) => status);
    };
    assertEquals(await statuses(true, "a", "b", "c"), [404, 404, 429, 202, 202]);
    const from = (request: Request) => request.headers.get("x-real-ip")!;
    assertEquals(await statuses(from, "a", "b", "a", "b", "a"), [404, 404, 404, 404, 429, 202, 202]);
    assertEquals(await statuses(() => 7 as never, "a"), [500, 202, 202]);
  });

  it("are not there without the option, and take the name callbacks from an entry", async () => {
    await using shop = await begin({ callbacks: false, authorize: () => undefined });
    assertEquals((await shop.post(shop.urls[0], 1)).status, 404);
    const named = edge({ callbacks: Order });
    const options = { authorize: () => undefined };
    assertEquals(typeof named.handler(shop.app, options), "function");
    const thrown = assertThrows(() => named.handler(shop.app, { ...options, callbacks: true }), TypeError);
    assertStringIncludes(thrown.message, "callbacks");
    assertThrows(() => named.handler(shop.app, { ...options, callbacks: 1 as never }), TypeError, "callbacks");
  });

  it("the description has their paths, if it is asked for them", () => {
    const info = { title: "Shop", version: "1", base: "/api" };
    const paths = (more: object) => Object.keys(callbacks.openapi({ ...info, ...more }).paths as object);
    assertEquals(paths({}).filter((path) => path.includes("callback")), []);
    assertEquals(paths({ callbacks: true }).filter((path) => path.includes("callback")), [
      "/api/callbacks/{token}",
      "/api/callbacks/{token}/fail",
    ]);
  });
});
