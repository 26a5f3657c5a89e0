import { describe, it } from "node:test";
import { assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { fingerprint } from "./fingerprint.ts";

describe("fingerprint", () => {
  it("is the same for equal JSON, whatever the order of the keys, at any depth", () => {
    assertEquals(
      fingerprint({ a: 1, b: { c: [1, { d: 2, e: 3 }] } }),
      fingerprint({ b: { c: [1, { e: 3, d: 2 }] }, a: 1 }),
    );
    assertMatch(fingerprint({}), /^[\w-]{43}$/);
  });

  it("is that of the value after the wire", () => {
    for (const value of [{ at: new Date(0), gone: undefined, no: NaN }, [undefined], -0, { toJSON: () => 7 }]) {
      assertEquals(fingerprint(value), fingerprint(JSON.parse(JSON.stringify(value))));
    }
  });

  it("tells other values apart", () => {
    const values: unknown[] = [
      undefined,
      null,
      0,
      "0",
      "",
      [],
      {},
      [[]],
      [1, 2],
      [2, 1],
      ["1,2"],
      { a: 1 },
      { a: "1" },
      { b: 1 },
    ];
    values.push({ a: undefined, b: null }, { a: { b: 1 } }, { a: 1, b: 1 }, JSON.parse('{"__proto__":1}'), "undefined");
    assertEquals(new Set(values.map(fingerprint)).size, values.length);
    assertNotEquals(fingerprint("e\u0301"), fingerprint("é"));
  });

  it("throws a TypeError for what JSON cannot encode", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const bad of [1n, cycle]) assertThrows(() => fingerprint(bad), TypeError);
  });
});
