import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, entity, unwrap } from "../../mod.ts";
import { entitySubject } from "../log/format/names.ts";
import { streamName, streamOptions } from "../log/format/streams.ts";
import { bucketName, BUCKETS } from "../ports/key_value_store.ts";
import { systemClock } from "../ports/clock.ts";
import { readEntity } from "./dashboard.ts";
import type { DashboardSource, EntityView } from "./view.ts";
import { MemoryNetwork } from "../testing/mod.ts";

const Cart = entity("Cart", { initial: () => 0 });
const Added = Cart.event<{ sku: string }>("Added", (items) => items + 1);
const Add = command<{ id: string; skus: readonly string[] }>("Add", { key: ({ id }) => id });
const handlers = Cart.handle(Add, (cart, { skus }) => {
  for (const sku of skus) cart.emit(Added, { sku });
});

type Source = Pick<DashboardSource, "namespace" | "stream" | "bucket">;

/** A cluster that keeps carts, and its source. */
async function setUp() {
  let wall = 5_000;
  const network = new MemoryNetwork({ clock: { ...systemClock, now: () => wall } });
  const app = await catga({ network, handlers });
  const { log, store } = network.connect();
  const stream = await log.open(streamName("default", "entities"), streamOptions("default", "entities", 1));
  const source: Source = {
    namespace: "default",
    stream: (kind) => Promise.resolve(kind === "entities" ? stream : undefined),
    bucket: (kind) => store.open(bucketName("default", kind), { ...BUCKETS[kind], replicas: 1 }),
  };
  return {
    source,
    stream,
    /** Sends a command, a second after the last one. */
    async add(id: string, skus: readonly string[], command: string): Promise<void> {
      wall += 1_000;
      unwrap(await app.send(Add, { id, skus }, { id: command }));
    },
    read: async (id: string) => await readEntity(source, "Cart", id) as EntityView,
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

/** A source without streams, and what it was asked for. */
function nothing() {
  const asked: string[] = [];
  const ask = (kind: string) => {
    asked.push(kind);
    return Promise.resolve(undefined);
  };
  return { asked, source: { namespace: "default", stream: ask, bucket: ask } as Source };
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
