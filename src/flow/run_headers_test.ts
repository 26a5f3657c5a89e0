/**
 * Tests that a run has the headers of its start: the caller, and the headers named by `carry`, reach the handlers of
 * its steps' messages.
 */
import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { catga, type CatgaOptions, command, query, unwrap, workflow } from "@catga/catga";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { CALLER_HEADER } from "../contract/calls/send_options.ts";
import { encodeValue } from "../data/encoding.ts";
import { edge } from "../http/mod.ts";
import { entitySubject } from "../log/format/names.ts";
import { streamOptions } from "../log/format/streams.ts";
import { streamName } from "../log/format/stream_name.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { entryOf } from "./stored/journal_entry.ts";

const ANN = { id: "ann", since: new Date(0) };
const HEADERS = { [CALLER_HEADER]: encodeValue(ANN, "caller"), "x-tenant": "north", "x-own": "1" };

const Who = query<void, readonly unknown[]>("Who");
const who = Who.handle((_, { caller, headers }) => [caller, headers["x-tenant"], headers["x-own"]]);
const Child = workflow<void, readonly unknown[]>("Child");
const child = Child.handle(async (flow) => {
  const sent = await flow.send(Who);
  return sent.ok ? [...sent.value, flow.caller, flow.headers["x-own"]] : [sent.error.code];
});
const Parent = workflow<void, readonly unknown[]>("Parent");
const parent = Parent.handle(async (flow) => {
  const own = [flow.caller, flow.headers["x-tenant"], flow.headers["x-own"]];
  const sent = await flow.send(Who);
  const ran = await flow.send(Child);
  return [own, sent.value, ran.value];
});
const Begin = command<void, string>("Begin");
const begin = Begin.handle(async (_, ctx) => unwrap(await ctx.start(Parent)));
const handlers = [who, child, parent, begin];
const carry = ["x-tenant"];

/**
 * The headers that handlers see in a run that is started with {@link HEADERS}, or by a handler whose message has them.
 */
const SEEN = [[ANN, "north", "1"], [ANN, "north", undefined], [ANN, "north", undefined, ANN, undefined]];
const INHERITED = [[ANN, "north", undefined], ...SEEN.slice(1)];

async function startedBy(options: CatgaOptions): Promise<void> {
  await using _node = await catga({ ...options, id: "node", logger: QUIET, carry, handlers });
  await using app = await catga({ ...options, id: "client", logger: QUIET, carry });
  const resultOf = async (run: string) => unwrap(await app.result(Parent, run));
  assertEquals(await resultOf(unwrap(await app.start(Parent, undefined, { headers: HEADERS }))), SEEN);
  assertEquals(await resultOf(unwrap(await app.send(Begin, undefined, { headers: HEADERS }))), INHERITED);
  const at = new Date(Date.now() + 300);
  unwrap(await app.start(Parent, undefined, { id: "later", at, headers: HEADERS }));
  await eventually("the start at its time", async () => (await app.result(Parent, "later")).error?.code !== "NO_RUN");
  assertEquals(await resultOf("later"), SEEN);
  const none = [undefined, undefined, undefined];
  assertEquals(await resultOf(unwrap(await app.start(Parent))), [none, none, [...none, undefined, undefined]]);
}

describe("a run and the headers of its start", () => {
  it("are those of the start, of the handler that starts it, and of a start at a time; children have them too", () =>
    startedBy({ network: new MemoryNetwork() }));

  it("are in a copy of flow, too, as { ...flow, step } makes it (the caller was lost)", async () => {
    const Copied = workflow<void, readonly unknown[]>("Copied");
    const copied = Copied.handle((flow) => {
      const { caller, headers } = { ...flow };
      return Promise.resolve([caller, headers["x-own"]]);
    });
    await using app = await catga({ logger: QUIET, handlers: copied });
    const run = unwrap(await app.start(Copied, undefined, { headers: HEADERS }));
    assertEquals(unwrap(await app.result(Copied, run)), [ANN, "1"]);
  });

  it("come through an edge as its authorize says, and never from the request", async () => {
    const api = edge({ parent: Parent });
    await using app = await catga({ logger: QUIET, handlers, carry });
    const handle = api.handler(app, { authorize: (request) => ({ id: request.headers.get("authorization") }) });
    const headers = { authorization: "bob", "content-type": "application/json", ...HEADERS };
    const response = await handle(new Request("http://shop.example/parent", { method: "POST", headers, body: "" }));
    const { run } = await response.json();
    const bob = { id: "bob" };
    const seen = [bob, undefined, undefined];
    assertEquals(unwrap(await app.result(Parent, run)), [seen, seen, [...seen, bob, undefined]]);
  });

  it("a second start of the same id and input is the same run, with the headers of the first", async () => {
    await using app = await catga({ logger: QUIET, handlers, carry });
    unwrap(await app.start(Parent, undefined, { id: "one", headers: HEADERS }));
    unwrap(await app.start(Parent, undefined, { id: "one", headers: { "x-tenant": "south" } }));
    assertEquals(unwrap(await app.result(Parent, "one")), SEEN);
  });

  it("headers that do not fit into a message are TOO_LARGE, and others than strings a TypeError", async () => {
    await using app = await catga({ logger: QUIET, handlers });
    const long = { "x-own": "x".repeat(1_100_000) };
    assertEquals((await app.start(Parent, undefined, { headers: long })).error?.code, "TOO_LARGE");
    await assertRejects(
      () => app.start(Parent, undefined, { headers: { "x-own": 7 as never } }),
      TypeError,
      "start Parent: headers.x-own must be a string; got 7",
    );
  });

  it("without any nothing is stored for them", async () => {
    const network = new MemoryNetwork();
    await using app = await catga({ network, logger: QUIET, handlers });
    unwrap(await app.result(Child, unwrap(await app.start(Child, undefined, { id: "bare" }))));
    unwrap(await app.result(Child, unwrap(await app.start(Child, undefined, { id: "full", headers: HEADERS }))));
    const client = network.connect();
    const stream = await client.log.open(
      streamName("default", "entities"),
      streamOptions("default", "entities", 1),
    );
    const stored = async (run: string) => {
      const messages = await stream.read(entitySubject("default", "Child-run", run), { from: 0, most: 100 });
      return messages.map(({ data }) => new TextDecoder().decode(data)).join();
    };
    assertEquals((await stored("bare")).includes("headers"), false);
    assertEquals((await stored("full")).includes("headers"), true);
    await client.close();
  });

  it("headers that are none, as only who writes to the stream stores them, are no start", () => {
    const started = { t: "started", version: 1, keep: 1, by: "" };
    assertEquals(entryOf({ ...started, headers: { a: 7 } }), undefined);
    assertEquals(entryOf({ ...started, headers: [] }), undefined);
    assertEquals(entryOf({ ...started, headers: { a: "7" } })?.t, "started");
  });
});

describe("a run and the headers of its start, over NATS", await requireNatsServer(), () => {
  it("are those of the start, of the handler that starts it, and of a start at a time; children have them too", async () => {
    await using server = await startNatsServer();
    await startedBy({ nats: server.url });
  });
});
