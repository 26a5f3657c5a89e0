import { describe, it } from "node:test";
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { seededRandom } from "./seeded_random.ts";

describe("seededRandom", () => {
  it("returns the same numbers for the same seed, others for the next", () => {
    assertEquals(draw(42, 1_000), draw(42, 1_000));
    for (const seed of [0, -1, 43, 2 ** 32, Number.MAX_SAFE_INTEGER]) assertNotEquals(draw(seed, 3), draw(42, 3));
    assertNotEquals(draw(2 ** 32, 3), draw(0, 3));
  });

  it("spreads over [0, 1) evenly", () => {
    const drawn = draw(7, 100_000);
    const tenths = new Array(10).fill(0);
    for (const number of drawn) tenths[Math.floor(number * 10)]++;
    assert(drawn.every((number) => number >= 0 && number < 1));
    // 475 is five standard deviations of the number of draws, of 100,000, that fall into one tenth
    for (const count of tenths) assert(Math.abs(count - 10_000) < 475, String(tenths));
  });

  it("the first numbers of consecutive seeds are as even as those of one seed", () => {
    const firsts = Array.from({ length: 10_000 }, (_, seed) => draw(seed, 1)[0]);
    const mean = firsts.reduce((sum, number) => sum + number) / firsts.length;
    assert(Math.abs(mean - 0.5) < 0.015, String(mean));
  });

  it("a seed that is no safe integer is a TypeError", () => {
    for (const seed of [0.5, NaN, Infinity, 2 ** 53]) assertThrows(() => seededRandom(seed), TypeError, String(seed));
  });
});

function draw(seed: number, count: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => random());
}
