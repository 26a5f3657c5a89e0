import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { stringify } from "./json.ts";

describe("stringify", () => {
  it("returns what JSON.stringify returns", () => {
    for (const value of [{ b: 1, a: [undefined, null, -0, NaN], c: undefined }, "~x", new Date(0), undefined]) {
      assertStrictEquals(stringify(value), JSON.stringify(value));
    }
  });

  it("writes values that are nested deeper than JSON.stringify can", () => {
    const levels = 50_000;
    let value: unknown = new Date(0);
    for (let i = 0; i < levels; i++) value = [value];
    assertThrows(() => JSON.stringify(value), RangeError);
    assertEquals(stringify(value) === `${"[".repeat(levels)}"1970-01-01T00:00:00.000Z"${"]".repeat(levels)}`, true);
  });

  it("throws what JSON.stringify throws for another reason", () => {
    const error = new RangeError("not the depth");
    const value = {
      get a() {
        throw error;
      },
    };
    assertStrictEquals(assertThrows(() => stringify(value), RangeError), error);
    assertThrows(() => stringify({ n: 1n }), TypeError);
  });
});
