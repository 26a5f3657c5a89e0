/** Tests of what the dashboard's search finds, and what it says that it has read. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { RunInfo } from "../../contract/calls/flow.ts";
import { groupText, itemText } from "../../log/format/group.ts";
import { messageId, type ParkedState } from "../../log/format/commit.ts";
import { categorySubject, entitySubject, parkedSubject, subscriptionKey } from "../../log/format/names.ts";
import { writeParked } from "../../log/format/parked_message.ts";
import { streamOptions } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { search, type SearchSource } from "./search.ts";
import type { SearchView } from "../view.ts";

/** Makes a log of the namespace `shop`, to which `append` adds messages. */
async function setUp() {
  const clock = new VirtualClock(5_000);
  const network = new MemoryNetwork({ clock });
  const stream = await network.log.open(streamName("shop", "log"), streamOptions("shop", "log", 1));
  const source: SearchSource = {
    namespace: "shop",
    transport: { clock },
    stream: (kind) => Promise.resolve(kind === "log" ? stream : undefined),
    async *runs() {},
  };
  let first = 0;
  const append = async (...items: { id?: string; key?: string; c?: string; a?: string }[]) => {
    const texts = items.map(({ id, key, ...meta }) => itemText({ text: '{"n":1}', id, key, meta }));
    const text = groupText({ endpoint: "a.1", first, sentAt: 1, keep: undefined, schedule: undefined }, texts.join());
    first += items.length;
    await stream.append(categorySubject("shop", "Placed"), text, { timeout: 1_000 });
  };
  const find = async (text: string) => await search(source, { stored: () => Promise.resolve([]) }, text) as SearchView;
  return { source, network, append, find, ids: async (text: string) => (await find(text)).hits.map(({ id }) => id) };
}

describe("search", () => {
  it("finds events by id, key, correlation and causation, the newest first, and nothing that is only alike", async () => {
    const { append, ids, find } = await setUp();
    await append({ id: "m-1", key: "o-7" }, { id: "m-2", c: "m-1" });
    await append({ id: "m-10", key: "o-70", a: "m-2" }, { id: "m-4", key: "o-7" });
    assertEquals(await ids("m-1"), ["m-2", "m-1"]);
    assertEquals(await ids("o-7"), ["m-4", "m-1"]);
    assertEquals(await ids("m-2"), ["m-10", "m-2"]);
    assertEquals(await ids("o-"), []);
    // no hit: an event that has its own id is not found by the id it would have without
    assertEquals(await ids("a.1.e0"), []);
    const { hits: [{ where, name, key, payload }], searched } = await find("m-4");
    assertEquals({ where, name, key, payload }, {
      where: "event",
      name: "Placed",
      key: "o-7",
      payload: '{\n  "n": 1\n}',
    });
    assertEquals(searched, [
      "entities and runs by id",
      "all 0 dead letters and retries",
      "all 2 messages of the log",
    ]);
  });

  it("reads the last 10,000 messages of the log, and says so", async () => {
    const { append, find } = await setUp();
    await append({ id: "oldest" });
    for (let n = 0; n < 10_000; n++) await append({ id: `m-${n}` });
    assertEquals((await find("m-0")).hits.length, 1);
    const { hits, searched } = await find("oldest");
    assertEquals([hits, searched.at(-1)], [[], "the last 10,000 of 10,001 messages of the log"]);
  });

  it("ends after 200 hits, and after 5 s of reading, and says what it has read", async () => {
    const { source, append, find } = await setUp();
    for (let n = 0; n < 1_200; n++) await append({ id: `m-${n}`, c: "one cause" });
    const { hits, searched } = await find("one cause");
    assertEquals([hits.length, searched.at(-1)], [200, "the last 500 of 1,200 messages of the log"]);
    let ms = 0;
    const clock = { ...source.transport.clock, monotonic: () => ms += 3_000 };
    const slow = await search({ ...source, transport: { clock } }, { stored: () => Promise.resolve([]) }, "m-0");
    assertEquals(slow, {
      hits: [],
      searched: [
        "entities and runs by id",
        "all 0 dead letters and retries",
        "the last 1,000 of 1,200 messages of the log",
      ],
    });
  });

  it("finds dead letters and retries of a subscription on any page, and an entity and a run by their ids", async () => {
    const { source, network } = await setUp();
    const open = (kind: "subscriptions" | "entities") =>
      network.log.open(streamName("shop", kind), streamOptions("shop", kind, 1));
    const streams = { subscriptions: await open("subscriptions"), entities: await open("entities") };
    const key = subscriptionKey("shop", "mails");
    const parked = new Map<string, ParkedState>();
    for (let position = 1; position <= 501; position++) {
      const id = messageId({ position, time: 7 });
      const text = { ...{ position, time: 7, category: "Placed", id: `m-${position}`, key: undefined }, payload: "{}" };
      const message = { ...text, tagged: false, meta: undefined };
      await streams.subscriptions.append(parkedSubject("shop", key, id), writeParked({ message, error: undefined }), {
        timeout: 1_000,
      });
      parked.set(id, { dead: position === 501 ? 1 : 0 } as ParkedState);
    }
    const stored = () => Promise.resolve([{ key, service: "shop", name: "mails", state: { parked } }] as never);
    for (const type of ["Cart", "Order-run"]) {
      await streams.entities.append(entitySubject("shop", type, "c-7"), "{}", { timeout: 1_000 });
    }
    const all: SearchSource = {
      ...source,
      stream: (kind) => Promise.resolve(kind === "log" ? undefined : streams[kind as keyof typeof streams]),
      async *runs({ workflow, id }) {
        const run = { workflow, id, status: "stuck", startedAt: new Date(9) };
        yield await Promise.resolve(run as RunInfo);
      },
    };
    const hits = async (text: string) => {
      const { hits, searched } = await search(all, { stored }, text) as SearchView;
      return [...hits.map(({ where, name, id, place }) => `${where} ${name} ${id}, ${place}`), searched.at(-1)];
    };
    const searched = "all 501 dead letters and retries";
    assertEquals(await hits("m-1"), ["retry Placed m-1, shop/mails", searched]);
    assertEquals(await hits("m-501"), ["dead letter Placed m-501, shop/mails", searched]);
    assertEquals(await hits("c-7"), ["entity Cart c-7, see Entities", "run Order c-7, stuck", searched]);
  });

  it("shows hidden characters of what it finds, and refuses what no id can be", async () => {
    const { source, append, find } = await setUp();
    await append({ id: "m\u202e1", key: "k\x1b[2J" });
    assertEquals((await find("m\u202e1")).hits[0].key, "k\\u{1b}[2J");
    for (const text of ["", "x".repeat(301), "\ud800"]) {
      const refused = await search(source, { stored: () => Promise.resolve([]) }, text);
      assertEquals(refused, "what is looked for has 1 to 300 characters");
    }
  });
});
