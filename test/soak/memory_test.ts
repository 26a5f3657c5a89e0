import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { hasGrown, memoryOf } from "./memory.ts";
import type { SoakLine } from "./messages.ts";

const MB = 1e6;

describe("the memory of a process in a soak", () => {
  it("is compared between a tenth of its time in and its end: the median of all, the least of the heap", () => {
    assertEquals(memoryOf(stats(100, (second) => second)), {
      rss: { early: 15 * MB, late: 95 * MB },
      heap: { early: 5 * MB, late: 45 * MB },
    });
    assertEquals(memoryOf(stats(59, (second) => second)), undefined);
  });

  it("has grown when it is more than half as large again, and 30 MB more", () => {
    const grown = (to: number) => hasGrown(memoryOf(stats(100, (second) => second < 50 ? 100 : to))!);
    assertEquals([grown(100), grown(179), grown(181)], [false, false, true]);
  });
});

/** A process that takes so many MB after so many seconds, half of it for its heap. */
function stats(seconds: number, megabytes: (second: number) => number): SoakLine[] {
  return Array.from({ length: seconds }, (_, at) => {
    const rss = megabytes(at) * MB;
    return { event: "stat", at, rss, heap: rss / 2 };
  });
}
