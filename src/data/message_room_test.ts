import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import * as room from "./message_room.ts";

describe("what fits into a message", () => {
  it("of 1 MiB: each limit leaves its room", () => {
    const { payloadLimit, storedLimit, batchLimit, entryLimit, unsealedLimit, cacheLimit, nodeAnswerLimit } = room;
    const limits = [payloadLimit, storedLimit, batchLimit, entryLimit, unsealedLimit].map((limit) => limit(1_048_576));
    assertEquals(limits, [1_046_528, 1_032_192, 524_288, 1_040_384, 693_043]);
    assertEquals([cacheLimit(1_048_576, "tea"), cacheLimit(1_048_576, "k".repeat(3_000))], [1_046_528, 1_045_062]);
    assertEquals([nodeAnswerLimit(1_046_528), nodeAnswerLimit(100_000)], [262_144, 99_744]);
  });

  it("of a few kB: a quarter at most is room for what the log puts around a message", () => {
    assertEquals([room.storedLimit(8_192), room.unsealedLimit(8_192)], [6_144, 4_710]);
  });

  it("counts bytes, not characters, and gives both sizes, in the text and for programs", () => {
    assertEquals(room.unlessFits("the payload of Ask", "x".repeat(10), 10, "send"), undefined);
    const error = room.unlessFits("the payload of Ask", "ü".repeat(6), 10, "send");
    assertEquals(error?.code, "TOO_LARGE");
    assertEquals(error?.details, { size: 12, limit: 10 });
    assertEquals(error?.message.split(":")[0], "the payload of Ask has 12 bytes; at most 10 fit into a message");
    assertEquals(error?.message.includes("raise max_payload"), true);
    // an outbox has its limit for itself (its error gave this advice, which does not help)
    assertEquals(room.unlessFits("it", "four", 3, "record")?.message.includes("max_payload"), false);
  });
});
