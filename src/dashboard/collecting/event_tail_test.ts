import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { eventFrameText } from "../../cluster/wire/frame_writer.ts";
import { encodeValue } from "../../data/encoding.ts";
import { groupText, itemText } from "../../log/format/group.ts";
import { categorySubject } from "../../log/format/names.ts";
import { streamOptions } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { EventTail } from "./event_tail.ts";

/** Makes a tail of the events in the namespace `shop`, and functions that publish events there. */
async function setUp() {
  const clock = new VirtualClock(5_000);
  const network = new MemoryNetwork({ clock });
  const name = streamName("shop", "log");
  const stream = await network.log.open(name, streamOptions("shop", "log", 1));
  const thrown: unknown[] = [];
  const transport = network.connect({ onError: (error) => thrown.push(error) });
  const tail = new EventTail("shop");
  let count = 0;
  const store = async (text: string, category = "Placed") =>
    void await stream.append(categorySubject("shop", category), text, { timeout: 1_000 });
  return {
    clock,
    network,
    tail,
    transport,
    /** Errors that the tail's listener threw. */
    thrown,
    store,
    /** Appends messages of one event each. The payloads are 0, 1, 2 and so on. */
    async append(messages: number): Promise<void> {
      for (let n = 0; n < messages; n++) await store(group(`${count++}`));
    },
    /** Publishes a batch of events that are not durable. */
    async publish(payloads: readonly unknown[], meta: { id?: string } = {}): Promise<void> {
      const text = payloads.map((payload) => `,${encodeValue(payload, "payload")}`).join("");
      transport.publish("catga.shop.event.Moved", eventFrameText("a.1", 4_000, meta, ++count, text, false));
      await clock.advance(0);
    },
    read: () => tail.read(stream),
    lose: () => network.log.remove(name),
    payloads: () => tail.view.shown.map(({ payload }) => payload),
  };
}

/** Returns the text of a log message with these events. */
function group(...texts: readonly string[]): string {
  const head = { endpoint: "a.1", first: 7, sentAt: 12, keep: undefined, schedule: undefined };
  const none = { key: undefined, id: undefined, meta: undefined };
  return groupText(head, texts.map((text) => itemText({ text, ...none })).join(","));
}

const counted = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, n) => `${from - n}`);

describe("EventTail", () => {
  it("shows the newest event of the log first, all of a message, and reads none twice", async () => {
    const { tail, store, append, read, payloads } = await setUp();
    await append(1);
    await store(group("10", "11"));
    await read();
    await read();
    assertEquals(payloads(), ["11", "10", "0"]);
    await append(1);
    await read();
    assertEquals(payloads(), ["1", "11", "10", "0"]);
    assertEquals(tail.view.shown.map(({ n }) => n), [4, 3, 2, 1]);
    const [{ at, durable, name, id, key, from }] = tail.view.shown;
    assertEquals({ at, durable, name, id, key, from }, {
      ...{ at: 5_000, durable: true, name: "Placed", id: "a.1.e7", key: undefined, from: "" },
    });
  });

  it("begins with the last 100 messages of the log, and counts those that it passes by later", async () => {
    const { tail, append, read, payloads } = await setUp();
    await append(130);
    await read();
    assertEquals(payloads(), counted(129, 30));
    assertEquals(tail.view.left, 0);
    await append(105);
    tail.tick();
    await read();
    assertEquals(payloads(), [...counted(234, 135), ...counted(129, 30)]);
    assertEquals(tail.view.left, 5);
  });

  it("takes 100 events in a second, counts the others, and keeps 200", async () => {
    const { tail, store, read, payloads } = await setUp();
    const texts = Array.from({ length: 110 }, (_, n) => `${n}`);
    for (const left of [10, 20, 30]) {
      await store(group(...texts));
      tail.tick();
      await read();
      assertEquals(tail.view.left, left);
    }
    assertEquals(payloads(), [...counted(99, 0), ...counted(99, 0)]);
    assertEquals(tail.view.shown[0].n, 300);
  });

  it("shows what a server that lags behind did not answer, once it does (it was passed over)", async () => {
    const { clock, network, tail, store, append, read, payloads } = await setUp();
    await append(1);
    await clock.advance(1_000);
    await append(2);
    network.faults = { staleRead: 1 };
    await read();
    assertEquals(payloads(), ["0"]);
    await clock.advance(1_000);
    await append(1);
    await read();
    assertEquals(payloads(), ["2", "1", "0"]);
    network.faults = {};
    await read();
    assertEquals(payloads(), ["3", "2", "1", "0"]);
    // three reads in a row return no messages, because the server lags behind: the skipped messages must be counted
    // once, not three times
    await clock.advance(1_000);
    for (let n = 0; n < 150; n++) await store("");
    network.faults = { staleRead: 1 };
    for (let n = 0; n < 3; n++) await read();
    assertEquals(tail.view.left, 50);
  });

  it("leaves out a message that cannot be read, and goes on behind it", async () => {
    const { store, append, read, payloads } = await setUp();
    for (const text of ["", "{}", "[9]", '[1,"a.1",7,12,0]']) await store(text);
    await append(1);
    await read();
    assertEquals(payloads(), ["0"]);
  });

  it("begins with the last messages of a stream that was made again", async () => {
    const { clock, tail, append, lose, read, payloads } = await setUp();
    await append(3);
    await read();
    await clock.advance(1_000);
    lose();
    await read();
    await append(1); // this event is lost: the append fails, and creates the stream again
    await append(130);
    tail.tick();
    await read();
    assertEquals(payloads(), [...counted(133, 34), ...counted(2, 0)]);
    assertEquals(tail.view.left, 0);
  });

  it("listen: shows each event of a batch with its sender, until it is closed", async () => {
    const { tail, transport, publish, payloads } = await setUp();
    const listening = tail.listen(transport);
    await publish([{ n: 1 }, "two"]);
    await publish([], { id: "\x1b" });
    assertEquals(payloads(), ["", '"two"', '{\n  "n": 1\n}']);
    assertEquals(tail.view.shown.map(({ id }) => id), ["\\u{1b}", "a.1.e1.1", "a.1.e1.0"]);
    const [{ at, durable, name, key, from }] = tail.view.shown;
    assertEquals({ at, durable, name, key, from }, {
      ...{ at: 5_000, durable: false, name: "Moved", key: undefined, from: "a" },
    });
    listening.close();
    await publish([3]);
    assertEquals(tail.view.shown.length, 3);
  });

  it("listen: ignores what is no batch of events, and counts what is more than 100 in a second", async () => {
    const { clock, tail, transport, thrown, publish } = await setUp();
    tail.listen(transport);
    for (const text of ["", "[]", '[1,"a"]', "\ufffd"]) transport.publish("catga.shop.event.Moved", text);
    transport.publish("catga.other.event.Moved", eventFrameText("a.1", 1, {}, 1, ",1", false));
    await clock.advance(0);
    assertEquals([tail.view, thrown], [{ shown: [], left: 0 }, []]);
    await publish(Array.from({ length: 101 }, (_, n) => n));
    await publish([1]);
    assertEquals([tail.view.shown.length, tail.view.left], [100, 2]);
    tail.tick();
    await publish([1]);
    assertEquals([tail.view.shown.length, tail.view.left], [101, 2]);
  });
});
