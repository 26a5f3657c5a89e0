import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { isStrings } from "./checks.ts";

describe("isStrings", () => {
  it("accepts objects of strings, empty ones too", () => {
    assertEquals([{}, { a: "b" }, Object.create(null)].map(isStrings), [true, true, true]);
  });

  it("refuses other members, arrays and what is no object", () => {
    const others = [{ a: 1 }, { a: "b", c: undefined }, ["a"], null, undefined, "a"];
    assertEquals(others.map(isStrings), [false, false, false, false, false, false]);
  });
});
