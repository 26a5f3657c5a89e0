import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, entity, unwrap, workflow } from "../../../mod.ts";
import { entitySubject } from "../../log/format/names.ts";
import { streamOptions } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import { bucketName, BUCKETS } from "../../ports/key_value_store.ts";
import { systemClock } from "../../ports/clock.ts";
import { listEntities, readEntity } from "./entities.ts";
import type { EntitiesView, EntityView } from "../view.ts";
import type { DashboardSource } from "../dashboard_source.ts";
import { MemoryNetwork } from "../../testing/mod.ts";

const Cart = entity("Cart", { initial: () => 0 });
const Added = Cart.event<{ sku: string }>("Added", (items) => items + 1);
const Add = command<{ id: string; skus: readonly string[] }>("Add", { key: ({ id }) => id });
const Shelf = entity("Shelf", { initial: () => 0 });
const Filled = Shelf.event("Filled", (n) => n + 1);
const Fill = command<string>("Fill", { key: (id) => id });
const Nightly = workflow<void>("Nightly");
const handlers = [
  Cart.handle(Add, (cart, { skus }) => {
    for (const sku of skus) cart.emit(Added, { sku });
  }),
  Shelf.handle(Fill, (shelf) => shelf.emit(Filled)),
  Nightly.handle(() => {}),
];

type Source = Pick<DashboardSource, "namespace" | "stream" | "bucket"> & {
  readonly transport: Pick<DashboardSource["transport"], "clock">;
};

/** Makes a cluster that keeps carts, and the source from which the page reads them. */
async function setUp() {
  let wall = 5_000;
  const network = new MemoryNetwork({ clock: { ...systemClock, now: () => wall } });
  const app = await catga({ network, handlers });
  const connection = network.connect();
  const { log, store } = connection;
  const stream = await log.open(streamName("default", "entities"), streamOptions("default", "entities", 1));
  const source: Source = {
    namespace: "default",
    transport: { clock: systemClock },
    stream: (kind) => Promise.resolve(kind === "entities" ? stream : undefined),
    bucket: (kind) => store.open(bucketName("default", kind), { ...BUCKETS[kind], replicas: 1 }),
  };
  return {
    source,
    stream,
    /** Sends a command, one second after the last command. */
    async add(id: string, skus: readonly string[], command: string): Promise<void> {
      wall += 1_000;
      unwrap(await app.send(Add, { id, skus }, { id: command }));
    },
    app,
    list: async (type = "") => await listEntities(source, type) as EntitiesView,
    read: async (id: string) => await readEntity(source, "Cart", id) as EntityView,
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await connection.close();
    },
  };
}

/** Makes a source without streams, and records what it is asked for. */
function nothing() {
  const asked: string[] = [];
  const ask = (kind: string) => {
    asked.push(kind);
    return Promise.resolve(undefined);
  };
  return {
    asked,
    source: { namespace: "default", stream: ask, bucket: ask, transport: { clock: systemClock } } as Source,
  };
}

describe("readEntity", () => {
  it("describes an invalid type or id without asking the log", async () => {
    const { asked, source } = nothing();
    for (const type of ["", "a.b", "*", "a b", "ü", "x".repeat(65)]) {
      assertEquals(await readEntity(source, type, "1"), "the type of an entity is letters, digits, - and _");
    }
    for (const id of ["", "x".repeat(257), "\ud800"]) {
      assertEquals(await readEntity(source, "Cart", id), "the id of an entity has 1 to 256 characters");
    }
    assertEquals(asked, []);
  });

  it("is undefined while there is no stream, and for an entity without events", async () => {
    const { asked, source } = nothing();
    assertEquals(await readEntity(source, "Cart", "x".repeat(256)), undefined);
    assertEquals(asked, ["entities"]);
    await using cluster = await setUp();
    await cluster.add("1", ["a"], "m1");
    assertEquals(await readEntity(cluster.source, "Cart", "2"), undefined);
  });

  it("has the events oldest first, each with its command, and when the entity began and changed", async () => {
    await using cluster = await setUp();
    await cluster.add("1", ["a", "b"], "m1");
    await cluster.add("1", ["c"], "m2");
    const { events, created, changed, ...rest } = await cluster.read("1");
    assertEquals(events.map(({ version, event, command, payload }) => [version, event, command, payload]), [
      [1, "Cart.Added", "Add m1", '{\n  "sku": "a"\n}'],
      [2, "Cart.Added", "Add m1", '{\n  "sku": "b"\n}'],
      [3, "Cart.Added", "Add m2", '{\n  "sku": "c"\n}'],
    ]);
    assertEquals(events.map(({ at }) => at), [6_000, 6_000, 7_000]);
    assertEquals([created, changed], [6_000, 7_000]);
    assertEquals([rest.type, rest.id, rest.version, rest.forgotten], ["Cart", "1", 3, false]);
  });

  it("has the last 100 events", async () => {
    await using cluster = await setUp();
    for (const command of ["m1", "m2", "m3"]) await cluster.add("1", new Array(50).fill("a"), command);
    const { version, events } = await cluster.read("1");
    assertEquals([version, events.length, events[0].version, events.at(-1)!.version], [150, 100, 51, 150]);
  });

  it("shows what cannot be read as a fault among the events, and hostile text as text", async () => {
    await using cluster = await setUp();
    await cluster.add("\x1b[2J", ["\u202e"], "\n");
    await cluster.stream.append(entitySubject("default", "Cart", "\x1b[2J"), "no events", { timeout: 5_000 });
    const { id, events: [event, fault, ...more] } = await cluster.read("\x1b[2J");
    assertEquals([id, event.command, event.payload], ["\\u{1b}[2J", "Add \\u{a}", '{\n  "sku": "\\u202e"\n}']);
    assertEquals([fault.event, fault.version, fault.command, more], ["", undefined, "", []]);
    assertStringIncludes(fault.payload, "JSON");
  });
});

describe("listEntities", () => {
  it("describes an invalid type without asking the log, and says that there are none", async () => {
    const { asked, source } = nothing();
    for (const type of ["a.b", "*", ">", "a b", "x".repeat(65)]) {
      assertEquals(await listEntities(source, type), "the type of an entity is letters, digits, - and _");
    }
    assertEquals(asked, []);
    assertEquals(await listEntities(source, "Cart"), { shown: [], searched: "there are no entities" });
  });

  it("has each entity once, those that changed last first, of a type or of all; no runs of workflows", async () => {
    await using cluster = await setUp();
    await cluster.add("1", ["a"], "m1");
    await cluster.add("2", ["a", "b"], "m2");
    unwrap(await cluster.app.send(Fill, "s"));
    await cluster.add("1", ["c"], "m3");
    unwrap(await cluster.app.result(Nightly, unwrap(await cluster.app.start(Nightly))));
    const { shown, searched } = await cluster.list();
    assertEquals(shown.map(({ type, id, version, last }) => [type, id, version, last]), [
      ["Cart", "1", 2, "Cart.Added"],
      ["Shelf", "s", 1, "Shelf.Filled"],
      ["Cart", "2", 2, "Cart.Added"],
    ]);
    assertEquals(shown[0].at, 8_000);
    assertMatch(searched, /^all \d+ messages of entities$/);
    assertEquals((await cluster.list("Cart")).shown.map(({ id }) => id), ["1", "2"]);
    assertEquals((await cluster.list("Gone")).shown, []);
    assertEquals((await cluster.list("Nightly-run")).shown, []);
  });

  it("has 200 of many, and says how much of the stream it has read", async () => {
    await using cluster = await setUp();
    for (let n = 0; n < 700; n++) {
      await cluster.stream.append(entitySubject("default", "Cart", `${n}`), "{}", { timeout: 5_000 });
    }
    const { shown, searched } = await cluster.list("Cart");
    assertEquals([shown.length, shown[0].id, shown[199].id], [200, "699", "500"]);
    assertEquals(searched, "the last 500 of 700 messages of entities");
  });

  it("has a long id whole, hostile text as text, and says what cannot be read", async () => {
    await using cluster = await setUp();
    await cluster.add("x".repeat(256), ["a"], "m1");
    await cluster.add("\x1b[2J", ["a"], "m2");
    await cluster.stream.append(entitySubject("default", "Cart", "\x1b[2J"), "no events", { timeout: 5_000 });
    const { shown: [bad, long] } = await cluster.list();
    assertEquals([bad.id, bad.key, bad.version], ["\\u{1b}[2J", "\x1b[2J", undefined]);
    assertStringIncludes(bad.last, "JSON");
    assertEquals(long.id, "x".repeat(256));
  });
});
