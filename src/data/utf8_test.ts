import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { byteLength, exceeds } from "./utf8.ts";

describe("utf8", () => {
  it("byteLength counts bytes, not code units", () => {
    assertEquals(["", "tea", "Tée", "茶", "🍵"].map(byteLength), [0, 3, 4, 3, 4]);
  });

  it("exceeds is true from one byte more than the limit on", () => {
    assertEquals([exceeds("茶茶", 6), exceeds("茶茶", 5), exceeds("tea", 3), exceeds("tea", 2)], [
      false,
      true,
      false,
      true,
    ]);
  });
});
