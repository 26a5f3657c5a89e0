import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { hasGrown, memoryOf } from "./memory.ts";
import type { SoakLine } from "./messages.ts";

const MB = 1e6;

describe("the memory of a process in a soak", () => {
  it("is compared between a tenth of the run and its end: the median of all memory, the minimum of the heap", () => {
    assertEquals(memoryOf(stats(100, (second) => second)), {
      rss: { early: 15 * MB, late: 95 * MB },
      heap: { early: 5 * MB, late: 45 * MB },
    });
    assertEquals(memoryOf(stats(59, (second) => second)), undefined);
  });

  it("has grown if it is larger by more than half, and by more than 30 MB", () => {
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
