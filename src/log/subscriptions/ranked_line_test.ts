import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { RankedLine } from "./ranked_line.ts";

describe("RankedLine", () => {
  it("returns the message of the lowest rank, and those of one rank in the order in which they came", () => {
    const line = new RankedLine<{ rank: number; n: number }>();
    for (const [n, rank] of [5, 3, 5, 1, 3, 4].entries()) line.push({ rank, n });
    const taken = () => line.shift()?.n;
    assertEquals([line.size, taken(), taken()], [6, 3, 1]);
    line.push({ rank: 2, n: 6 });
    assertEquals([taken(), taken(), taken(), taken(), taken(), taken(), line.size], [6, 4, 5, 0, 2, undefined, 0]);
  });
});
