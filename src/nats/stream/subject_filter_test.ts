import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { covers, distinctFilters } from "./subject_filter.ts";

describe("covers", () => {
  const cases: [wider: string, pattern: string, covers: boolean][] = [
    ["a.>", "a.b", true],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    ["a.>", "a.>", true],
    ["a.*", "a.>", false],
    ["a.*", "a.b", true],
    ["a.*", "a.*", true],
    ["a.b", "a.*", false],
    ["a.*.c", "a.b.c", true],
    ["a.*.c", "a.b.d", false],
    [">", "a", true],
    ["a", "a.b", false],
  ];
  for (const [wider, pattern, expected] of cases) {
    it(`${wider} ${expected ? "covers" : "does not cover"} ${pattern}`, () => {
      assertEquals(covers(wider, pattern), expected);
    });
  }
});

describe("distinctFilters", () => {
  it("leaves out what others cover, and doubles", () => {
    assertEquals(distinctFilters(["a.b", "a.*", "c", "c", "a.b"]), ["a.*", "c"]);
    assertEquals(distinctFilters([]), []);
    // 50,000 filters without wildcards are not compared with each other; that would take minutes
    const many = Array.from({ length: 50_000 }, (_, i) => `a.${i}`);
    assertEquals(distinctFilters(many).length, many.length);
  });
});
