import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { NatsConnection } from "@nats-io/nats-core";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { type TextMessage, TextPublisher } from "./transport.ts";

/** A publisher, and what it has written. */
function setUp() {
  const clock = new VirtualClock();
  const written: string[] = [];
  const protocol = { sendCommand: (bytes: Uint8Array) => void written.push(new TextDecoder().decode(bytes)) };
  const texts = TextPublisher.of({ protocol } as unknown as NatsConnection, clock);
  assert(texts !== undefined);
  const publish = (message: TextMessage) => texts.publish(message, 1_000_000);
  return { clock, written, texts, publish };
}

const plain = { subject: "a.b", reply: "r.1", headers: undefined, text: "größe" };
const HEADERS = "NATS/1.0\r\nX: y\r\n\r\n";

describe("TextPublisher", () => {
  it("writes the messages of a turn at once, with their sizes in bytes", async () => {
    const { clock, written, publish } = setUp();
    publish(plain);
    publish({ ...plain, reply: "r.2", headers: { X: "y" } });
    assertEquals(written, []);
    await clock.advance(0);
    assertEquals(written, [
      `PUB a.b r.1 7\r\ngröße\r\nHPUB a.b r.2 ${HEADERS.length} ${HEADERS.length + 7}\r\n${HEADERS}größe\r\n`,
    ]);
    publish(plain);
    await clock.advance(0);
    assertEquals(written.length, 2);
  });

  it("writes early when much waits, and drops what waits when the connection is lost", async () => {
    const { clock, written, texts, publish } = setUp();
    publish({ ...plain, text: "x" });
    publish({ ...plain, text: "x".repeat(300_000) });
    assertEquals(written.length, 1);
    publish(plain);
    texts.drop();
    await clock.advance(0);
    assertEquals(written.length, 1);
  });

  it("returns the size of a message, and does not write one that is larger than the limit", async () => {
    const { clock, written, texts } = setUp();
    const sizes = [7, 6].map((limit) => texts.publish(plain, limit));
    await clock.advance(0);
    assertEquals([sizes, written], [[7, 7], ["PUB a.b r.1 7\r\ngröße\r\n"]]);
  });

  it("is not there for a connection of another nats.js", () => {
    assertEquals(TextPublisher.of({} as NatsConnection, new VirtualClock()), undefined);
  });
});
