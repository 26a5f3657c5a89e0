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

  it("does not depend on members that are undefined", () => {
    assertEquals(fingerprint({ a: undefined, b: 0 }), fingerprint({ b: 0 }));
    assertEquals(fingerprint({ a: undefined, b: [1n] }), fingerprint({ b: [1n] }));
  });

  it("differs for values that JSON does not tell apart, and from texts like their tags", () => {
    const values: unknown[] = [
      new Date(0),
      new Date(1),
      new Date(0).toJSON(),
      "~Date:0",
      '~"~Date:0"',
      1n,
      "~bigint:1",
      "1",
      1,
      new Map([["a", 1]]),
      new Map([["a", 2]]),
      new Map([["b", 1]]),
      new Map<unknown, unknown>([[1, 1]]),
      new Map<unknown, unknown>([["1", 1]]),
      [["a", 1]],
      ["~Map", ["a", 1]],
      new Set(["a"]),
      new Set(["b"]),
      ["a"],
      new Uint8Array([1]),
      new Uint8Array([2]),
      new Int8Array([1]),
      { 0: 1 },
      NaN,
      Infinity,
      -Infinity,
      0,
      -0,
      "~-0",
      null,
      [undefined],
      [null],
      {},
    ];
    assertEquals(new Set(values.map(fingerprint)).size, values.length);
    const [a, b] = [{ x: new Date(0), y: { c: 1n, d: 2 } }, { y: { d: 2, c: 1n }, x: new Date(0) }];
    assertEquals(fingerprint(a), fingerprint(b));
  });

  it("differs for other values", () => {
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

  it("throws a TypeError for what cannot be sent", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const bad of [() => 1, cycle]) assertThrows(() => fingerprint(bad), TypeError);
  });

  it("of JSON stays the same in every version: claims in the store may be of a node of version 0.1", () => {
    const known: [value: unknown, fingerprint: string][] = [
      [undefined, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"],
      [null, "dCNOmK_nSY-12vHzasLXiswzlGT5UHA7jAGYkvmCuQs"],
      [0, "X-zrZv_IbzjZUnhsbWlsecLbwjndTpG0ZynXOif7V-k"],
      [-0, "W2GFpsZBrTyYewvhS_B6t44EN2U5FELDGL-KCAWzl6U"],
      [1e21, "JBxGQ_pwsdzeEgW3G-TjvrsX6fiAyOGjPQ6tbCcnHTw"],
      ["", "Eq4yyx7ALQHto1gbEnwf7jsNxTVy7WuvI5choD2C4SY"],
      ["undefined", "z5ObOYt18KZdePvAaq81MI-me53T3Q3jqWHEeW8b4OY"],
      ["e\u0301", "PWjOIfKJmkdXE82-dWK6m9trHf3orx8iG9_0oJNbU7I"],
      ["\ud800", "jAxZ3Q0nWq3NRipf4S6zUsvf6vlh6uT4WkZgUh330vU"],
      [[], "T1PNoYwrqgwDVLtfmj7L5e0Sq02OEbqHPC8RFhICuUU"],
      [{}, "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o"],
      [
        { b: { c: [1, { d: 2, e: 3 }] }, a: 1, "10": 1, "9": 2, "ä": 3, "\u{1f600}": 4, "\ufb01": 5 },
        "NsBIABZJ_CLD7wHk8FhB5WuY03OidfP8kuJmD5W1KAY",
      ],
      [JSON.parse('{"__proto__":{"a":1},"toString":2}'), "aMyY_NafWAZKDtsM77sQGmZw_FhI2edZOVULGRqK2sY"],
      [[[[[1]]], { a: [] }], "rwxi7v2Dq4mR5-gvHBe834pGbuGSkkhESE4eK5WqdeE"],
    ];
    for (const [value, expected] of known) assertEquals(fingerprint(value), expected);
  });

  it("of a payload of more than 1,000 levels is refused", () => {
    for (const [open, close] of [["[", "]"], ['{"a":', "}"]]) {
      const deep = (levels: number) => JSON.parse(open.repeat(levels) + '{"x":1,"y":2}' + close.repeat(levels));
      assertEquals(fingerprint(deep(999)).length, 43);
      assertThrows(() => fingerprint(deep(1_000)), TypeError, "is nested too deeply");
      assertThrows(() => fingerprint(deep(100_000)), TypeError, "is nested too deeply");
    }
  });
});
