import { describe, it } from "node:test";
import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import type { NatsConnection } from "@nats-io/nats-core";
import { type TextMessage, TextPublisher } from "./text_publisher.ts";

/**
 * Makes a publisher, and records the texts that it writes (`written`) and how many were written at each flush
 * (`left`).
 */
function setUp() {
  const written: string[] = [];
  const left: number[] = [];
  const protocol = {
    sendCommand: (bytes: Uint8Array) => void written.push(new TextDecoder().decode(bytes)),
    flushPending: () => void left.push(written.length),
  };
  const texts = TextPublisher.of({ protocol } as unknown as NatsConnection);
  assert(texts !== undefined);
  const publish = (message: TextMessage) => texts.publish(message, 1_000_000);
  return { written, left, texts, publish };
}

const endOfTurn = () => new Promise<void>((resolve) => void setImmediate(resolve));

const plain = { subject: "a.b", reply: "r.1", headers: undefined, text: "größe" };
const HEADERS = "NATS/1.0\r\nX: y\r\n\r\n";

describe("TextPublisher", () => {
  it("writes the messages of a turn at once, with their sizes in bytes", async () => {
    const { written, publish } = setUp();
    publish(plain);
    publish({ ...plain, reply: "r.2", headers: { X: "y" } });
    assertEquals(written, []);
    await endOfTurn();
    assertEquals(written, [
      `PUB a.b r.1 7\r\ngröße\r\nHPUB a.b r.2 ${HEADERS.length} ${HEADERS.length + 7}\r\n${HEADERS}größe\r\n`,
    ]);
    publish(plain);
    await endOfTurn();
    assertEquals(written.length, 2);
  });

  it("writes at once what several steps of a turn publish, before the next turn", async () => {
    const { written, publish } = setUp();
    const turn = endOfTurn().then(() => written.length);
    await Promise.all([1, 2, 3].map(async (n) => {
      await undefined;
      publish({ ...plain, reply: `r.${n}` });
    }));
    assertEquals(await turn, 1);
    assertEquals(written[0].match(/r\.\d/g), ["r.1", "r.2", "r.3"]);
  });

  it("writes several messages that are awaited at the end of the turn, with those that follow after more awaits", async () => {
    const { written, publish } = setUp();
    await Promise.all([0, 0, 9].map(async (awaits) => {
      for (let n = 0; n < awaits; n++) await undefined;
      publish({ ...plain, awaited: true });
    }));
    await endOfTurn();
    assertEquals(written.length, 1);
  });

  it("writes one message that is awaited at once, also after a turn that had several", async () => {
    const { written, publish } = setUp();
    for (let n = 0; n < 2; n++) publish({ ...plain, awaited: true });
    await endOfTurn();
    assertEquals(written.length, 1);
    publish({ ...plain, awaited: true });
    for (let n = 0; n < 9; n++) await undefined;
    assertEquals(written.length, 2);
  });

  it("writes early when much waits, and drops what waits when the connection is lost", async () => {
    const { written, left, texts, publish } = setUp();
    publish({ ...plain, text: "x" });
    assertEquals(left, []);
    publish({ ...plain, text: "x".repeat(300_000) });
    assertEquals([written.length, left], [1, [1]]);
    publish(plain);
    texts.drop();
    await endOfTurn();
    assertEquals([written.length, left], [1, [1]]);
  });

  it("returns the size of a message that is larger than the limit, and does not write it", async () => {
    const { written, texts } = setUp();
    const sizes = [7, 6].map((limit) => texts.publish(plain, limit));
    await endOfTurn();
    assertEquals([sizes, written], [[0, 7], ["PUB a.b r.1 7\r\ngröße\r\n"]]);
  });

  it("is not there for a connection of another nats.js", () => {
    assertEquals(TextPublisher.of({} as NatsConnection), undefined);
  });
});
