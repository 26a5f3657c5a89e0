import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { pauseAfter } from "./retry.ts";

describe("pauseAfter", () => {
  it("is drawn from 0 to a limit that doubles up to the longest", () => {
    const limits = [1, 2, 3, 4, 10, 1_000].map((attempts) => pauseAfter(attempts, [1_000, 300_000], () => 1));
    assertEquals(limits, [1_000, 2_000, 4_000, 8_000, 300_000, 300_000]);
    assertEquals(pauseAfter(3, [1_000, 300_000], () => 0.25), 1_000);
    assertEquals(pauseAfter(3, [1_000, 300_000], () => 0), 0);
    assertEquals(pauseAfter(5, [50, 50], () => 0.5), 25);
  });
});
