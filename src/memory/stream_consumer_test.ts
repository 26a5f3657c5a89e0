import { describe, it } from "node:test";
import { assert, assertEquals, assertNotStrictEquals } from "@std/assert";
import { type Faults, FaultSource } from "./faults.ts";
import { StreamState } from "./stream_state.ts";
import { newMessage } from "./new_message.ts";
import { seededRandom } from "./seeded_random.ts";
import { copyOf, type Delivery, StreamConsumer } from "./stream_consumer.ts";
import { subjectFilter } from "./subject_match.ts";
import { VirtualClock } from "./virtual_clock.ts";

/** Makes a consumer of the messages of subject `log.a`, in a stream whose first sequence is 1. */
function setUp({ from = 1, faults = {} as Faults } = {}) {
  const clock = new VirtualClock(0);
  const settings = { subjects: ["log.>"], replicas: 1, schedules: false };
  const state = new StreamState(clock, settings, { created: "now", least: 1, ready: () => true, lag: () => 0 });
  const append = (...subjects: string[]) => {
    for (const subject of subjects) state.append(newMessage(subject, "", { timeout: 1_000 }));
  };
  const source = new FaultSource(seededRandom(1));
  source.faults = faults;
  const deliveries: Delivery[] = [];
  const reader = { alive: true };
  const consumer = new StreamConsumer(state, {
    from,
    clock,
    faults: source,
    alive: () => reader.alive,
    filter: subjectFilter(["log.a"]),
    send: (delivery) => deliveries.push(delivery),
  });
  return { clock, state, append, reader, consumer, deliveries };
}

/** Returns a delivery as text: `<count>:<sequence>` for each message. */
const textOf = ({ messages }: Delivery) => messages.map(([count, { sequence }]) => `${count}:${sequence}`).join(" ");

describe("StreamConsumer", () => {
  it("sends one delivery for each time that it is asked, at once or when there is something, counted from 1", () => {
    const { append, consumer, deliveries } = setUp({ from: 2 });
    append("log.a", "log.a", "log.b", "log.a");
    assertEquals(deliveries.length, 0);
    consumer.more();
    append("log.a");
    assertEquals(deliveries.map(textOf), ["1:2 2:4"]);
    consumer.more();
    consumer.more();
    append("log.b");
    append("log.a");
    append("log.a");
    assertEquals(deliveries.map(textOf), ["1:2 2:4", "3:5", "4:7"]);
    assertEquals(deliveries.map(({ upTo, count }) => ({ upTo, count })), [
      { upTo: 4, count: 2 },
      { upTo: 5, count: 3 },
      { upTo: 7, count: 4 },
    ]);
  });

  it("is lost when the storage cannot be read: nothing is thrown at whoever asks for more, or at a timer", async () => {
    const fails = () => {
      throw new Error("EIO: i/o error, read");
    };
    for (const isAsked of [true, false]) {
      const { clock, state, append, consumer, deliveries } = setUp();
      append("log.b", isAsked ? "log.a" : "log.b");
      if (!isAsked) consumer.more();
      state.at = fails;
      if (isAsked) consumer.more();
      await clock.advance(10_000);
      assertEquals(deliveries.map(({ messages, lost }) => [messages, lost]), [[[], true]]);
      append("log.a");
      assertEquals(deliveries.length, 1);
    }
  });

  it("sends 256 messages at most in one delivery, and passes over those that were removed", () => {
    const { state, append, consumer, deliveries } = setUp();
    append(...Array(300).fill("log.a"));
    state.purge("log.a", 11);
    consumer.more();
    consumer.more();
    assertEquals(deliveries.map(({ messages, upTo }) => [messages.length, upTo]), [[256, 266], [34, 300]]);
  });

  it("5 s after messages for others says once up to where there is nothing for it, unless it has sent something", async () => {
    const { clock, append, consumer, deliveries } = setUp();
    consumer.more();
    append("log.b");
    await clock.advance(4_999);
    append("log.b");
    assertEquals(deliveries.length, 0);
    await clock.advance(1);
    assertEquals(deliveries.map(({ messages, upTo, lost }) => ({ messages, upTo, lost })), [
      { messages: [], upTo: 2, lost: false },
    ]);
    consumer.more();
    await clock.advance(60_000);
    append("log.b");
    append("log.a");
    await clock.advance(60_000);
    assertEquals(deliveries.map(textOf), ["", "1:4"]);
  });

  it("is lost with the stream's messages or leader: says so once, and sends nothing more", () => {
    const { state, append, consumer, deliveries } = setUp();
    append("log.a");
    state.interrupt();
    assertEquals(deliveries.map(({ lost }) => lost), [true]);
    consumer.close();
    state.interrupt();
    append("log.a");
    assertEquals(deliveries.length, 1);
  });

  it("sends nothing to a reader that is gone, nor after close", async () => {
    for (const end of ["gone", "close"] as const) {
      const { clock, state, append, reader, consumer, deliveries } = setUp();
      consumer.more();
      append("log.b");
      if (end === "gone") reader.alive = false;
      else consumer.close();
      append("log.a");
      state.interrupt();
      await clock.advance(60_000);
      assertEquals(deliveries, []);
    }
  });

  it("leaves no timer after close, also if its storage has failed or messages were lost", () => {
    for (const why of ["storage", "lost"] as const) {
      const { clock, state, append, consumer } = setUp({ faults: why === "lost" ? { drop: 1 } : {} });
      append("log.a");
      if (why === "storage") {
        state.at = () => {
          throw new Error("EIO: i/o error, read");
        };
      }
      const before = clock.timers;
      consumer.more();
      assertEquals(clock.timers, before + 1, why);
      consumer.close();
      assertEquals(clock.timers, before, why);
    }
  });

  it("drop: messages that are lost on the way are counted, and 1 s later the reader learns the count", async () => {
    const { clock, append, consumer, deliveries } = setUp({ faults: { drop: 1 } });
    append("log.a", "log.a");
    consumer.more();
    await clock.advance(999);
    assertEquals(deliveries, []);
    await clock.advance(1);
    assertEquals(deliveries.map(({ messages, count, upTo }) => ({ messages, count, upTo })), [
      { messages: [], count: 2, upTo: 2 },
    ]);
  });

  it("redelivery: the last 20 at most come again before the new ones, none from before its beginning", () => {
    const { append, consumer, deliveries } = setUp({ from: 3, faults: { redelivery: 1 } });
    const sequences = () => deliveries.at(-1)!.messages.map(([, { sequence }]) => sequence);
    append("log.a", "log.a", "log.a", "log.b", "log.a");
    consumer.more();
    assertEquals(sequences(), [3, 5]);
    append("log.a");
    consumer.more();
    assertEquals(sequences(), [5, 3, 6]);
    append(...Array(30).fill("log.a"));
    consumer.more();
    append("log.a");
    consumer.more();
    assertEquals(sequences(), [...Array.from({ length: 20 }, (_, i) => 36 - i), 37]);
  });
});

describe("copyOf", () => {
  it("gives each reader data of its own, in a frozen message", () => {
    const message = { subject: "log.a", sequence: 1, time: 0, data: new Uint8Array([1]), headers: undefined };
    const copy = copyOf(message);
    assertEquals(copy, message);
    assertNotStrictEquals(copy.data, message.data);
    assert(Object.isFrozen(copy));
  });
});
