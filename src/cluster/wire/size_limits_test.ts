import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { payloadLimit } from "../../data/payload_limit.ts";
import { frameLimit, tooLarge } from "./frame.ts";

describe("frameLimit", () => {
  it("is 64,000 code units by default, and a third of a small max_payload less 2,048", () => {
    assertEquals(frameLimit(1_048_576), 64_000);
    assertEquals(frameLimit(30_000), 7_952);
  });
});

describe("tooLarge", () => {
  it("counts bytes, not characters", () => {
    const limit = payloadLimit(2_058); // the limit is 10 bytes
    assertEquals(tooLarge("the payload", "Ask", "x".repeat(10), limit), undefined);
    assertEquals(
      tooLarge("the payload", "Ask", "ü".repeat(6), limit)?.message.split(":")[0],
      "the payload of Ask is 12 bytes; the server takes 10 at most",
    );
  });
});
