import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { BoundedCount } from "./bounded_count.ts";

describe("BoundedCount", () => {
  /** Answers for limits in turn, of `there` things of one version, and how often they were counted. */
  const answers = (there: number, ...limits: readonly number[]) => {
    const counted = new BoundedCount();
    let counts = 0;
    const below = limits.map((most) =>
      counted.isBelow(most, 1, () => {
        counts++;
        return Math.min(there, most);
      })
    );
    return [below, counts];
  };

  it("counts again for a greater limit, if it stopped at a smaller one (it took that for the number)", () => {
    assertEquals(answers(50_000, 500, 10_000, 100_000), [[false, false, true], 3]);
  });

  it("remembers a number that is exact, and for smaller limits one that is not", () => {
    assertEquals(answers(40, 500, 10_000, 30), [[true, true, false], 1]);
    assertEquals(answers(50_000, 500, 500, 20), [[false, false, false], 1]);
  });

  it("counts again when what was counted has changed", () => {
    const counted = new BoundedCount();
    assertEquals([counted.isBelow(5, 1, () => 4), counted.isBelow(5, 2, () => 5)], [true, false]);
  });
});
