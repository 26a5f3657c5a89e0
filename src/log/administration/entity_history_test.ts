import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, command, entity, unwrap } from "../../../mod.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { BUCKETS } from "../../ports/key_value_store.ts";
import { entitySubject, snapshotKey } from "../format/names.ts";
import { streamOptions } from "../format/streams.ts";
import { streamName } from "../format/stream_name.ts";
import { entityEvents, entityInfo, type EntityPlace } from "./entity_history.ts";
import { MemoryNetwork } from "../../testing/mod.ts";

const Sum = entity("Sum", { initial: () => 0 });
const Added = Sum.event<{ n: bigint }>("Added", (sum, { n }) => sum + Number(n));
const Cleared = Sum.event("Cleared", () => 0);
const Add = command<{ id: string; n: bigint; times: number }>("Add", { key: ({ id }) => id });
const Clear = command<{ id: string }>("Clear", { key: ({ id }) => id });
const handlers = [
  Sum.handle(Add, (sum, { n, times }) => {
    for (let i = 0; i < times; i++) sum.emit(Added, { n });
  }),
  Sum.handle(Clear, (sum) => sum.emit(Cleared)),
];

async function world() {
  const network = new MemoryNetwork();
  const app = await catga({ network, handlers });
  const { log, store } = network.connect();
  const stream = await log.open(streamName("default", "entities"), streamOptions("default", "entities", 1));
  const snapshots = await store.open("catga_default_snapshots", { ...BUCKETS.snapshots, replicas: 1 });
  const place: EntityPlace = { namespace: "default", stream, snapshots, type: "Sum", id: "s" };
  const append = async (text: string) => {
    const appended = await stream.append(entitySubject("default", "Sum", "s"), text, { timeout: 5_000 });
    assertEquals(appended.type, "stored");
  };
  /** Returns the versions of the entity's events, and the texts of its faults, in order. */
  const shown = async (after = 0) => {
    const found: (number | string | undefined)[] = [];
    for await (const each of entityEvents(place, { after })) found.push("fault" in each ? each.fault : each.version);
    return found;
  };
  return { app, place, append, shown, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() };
}

describe("what is stored of an entity", () => {
  it("its events in order, each with its command, and the entity as a whole", async () => {
    await using it = await world();
    assertEquals(await entityInfo(it.place), undefined);
    unwrap(await it.app.send(Add, { id: "s", n: 2n, times: 2 }, { id: "one", headers: { a: "b" } }));
    unwrap(await it.app.send(Clear, { id: "s" }, { id: "two" }));
    const info = (await entityInfo(it.place))!;
    assertEquals([info.version, info.forgotten, info.snapshot], [3, false, undefined]);
    const events = [];
    for await (const event of entityEvents(it.place)) if ("event" in event) events.push(event);
    assertEquals(events.map(({ version, event, command, payload }) => [version, event, command, payload]), [
      [1, "Sum.Added", { name: "Add", id: "one" }, { n: 2n }],
      [2, "Sum.Added", { name: "Add", id: "one" }, { n: 2n }],
      [3, "Sum.Cleared", { name: "Clear", id: "two" }, undefined],
    ]);
    assertEquals([info.created, info.changed], [events[0].time, events[2].time]);
    assertEquals(events[1].position, events[0].position + 1);
    assertEquals([await it.shown(1), await it.shown(3)], [[2, 3], []]);
  });

  it("the state of its snapshot, unless that is of another stream or cannot be read", async () => {
    await using it = await world();
    const key = snapshotKey("Sum", "s", 1);
    unwrap(await it.app.send(Add, { id: "s", n: 1n, times: 101 }));
    await eventually("a snapshot", async () => await it.place.snapshots!.get(key) !== undefined);
    const { value } = (await it.place.snapshots!.get(key))!;
    const shown = async (text: string) => {
      await it.place.snapshots!.put(key, text);
      return (await entityInfo(it.place))?.snapshot;
    };
    assertEquals(await shown(value), { version: 101, definition: 1, state: 101 });
    assertEquals(await shown("nonsense"), "it cannot be read");
    assertEquals(await shown(value.replace('"s"', '"other"')), "it is not of these events");
    assertEquals(await shown(value.replace(/^(\[3,1,)"/, '$1"x')), "it is not of these events");
    assertEquals(await shown(value.replace(/\n101$/, "\n~1~")), "its state cannot be read");
  });

  it("one that was forgotten: what remains", async () => {
    await using it = await world();
    unwrap(await it.app.send(Add, { id: "s", n: 1n, times: 1 }));
    await it.app.forget(Sum, "s");
    const info = (await entityInfo(it.place))!;
    assertEquals([info.version, info.created, info.forgotten], [1, undefined, true]);
    assertEquals(await it.shown(), [undefined]);
  });

  it("what nodes pass over, with the reason; nothing stored ends the list", async () => {
    await using it = await world();
    const group = (version: number) => `[1,"x.1",0,1,[${version},["Add","c",1]],["Added",1]]`;
    await it.append("\xff\0 no JSON");
    await it.append(group(0));
    await it.append(group(0));
    await it.append(group(4));
    await it.append('[9,"x.1"]');
    assertEquals(await it.shown(), [
      "it is not a JSON array",
      1,
      "it continues version 0; the entity is at 1",
      "events 2 to 4 are missing",
      5,
      "it has format 9; this node reads 2",
    ]);
    assertEquals(await it.shown(1), [
      "it continues version 0; the entity is at 1",
      "events 2 to 4 are missing",
      5,
      "it has format 9; this node reads 2",
    ]);
    assertEquals((await entityInfo(it.place))?.version, 5);
    await it.append('[1,"x.1",0,1,[5,["Add","c",1]],["Added","~broken",1]]');
    assertEquals((await it.shown(5)).at(-1), 6);
  });
});
