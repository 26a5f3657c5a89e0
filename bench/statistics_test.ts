import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { median, quantile, ratios, spread } from "./statistics.ts";

describe("statistics", () => {
  it("median: the value in the middle, or the mean of the two", () => {
    assertEquals(median([9, 1, 5]), 5);
    assertEquals(median([4, 1, 2, 3]), 2.5);
    assertEquals(median([]), NaN);
  });

  it("quantile: the value that so many are not above", () => {
    const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);
    assertEquals([0.01, 0.5, 0.99, 1].map((part) => quantile(hundred, part)), [1, 50, 99, 100]);
    assertEquals(quantile([7], 0.99), 7);
    assertEquals(quantile([], 0.5), NaN);
  });

  it("ratios: round by round, as far as both go", () => {
    assertEquals(ratios([10, 30, 50], [5, 10]), [2, 3]);
  });

  it("spread: half of the way from the lowest to the highest, as a part of the median", () => {
    assertEquals(spread([75, 100, 125]), 0.25);
  });
});
