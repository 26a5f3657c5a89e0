import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { isCount, isNotNegative } from "./checks.ts";

const VALUES = [0, 7, 2 ** 53 - 1, 2 ** 53, 1.5, -1, NaN, Infinity, "1", null, undefined, 1n];

describe("numbers", () => {
  it("isCount: whole ones from 0 on, as far as they are exact", () => {
    assertEquals(VALUES.filter(isCount), [0, 7, 2 ** 53 - 1]);
  });

  it("isNotNegative: finite ones from 0 on", () => {
    assertEquals(VALUES.filter(isNotNegative), [0, 7, 2 ** 53 - 1, 2 ** 53, 1.5]);
  });
});
