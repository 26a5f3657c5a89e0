import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { isJson } from "./is_json.ts";

describe("isJson", () => {
  it("is true for what JSON has, in plain objects and arrays", () => {
    const values = [
      null,
      true,
      "",
      0,
      -1.5,
      [],
      {},
      [[{ a: [null, "x"] }]],
      Object.assign(Object.create(null), { a: 1 }),
    ];
    for (const value of values) assertEquals(isJson(value), true);
  });

  it("is false for anything else, wherever it is", () => {
    const others: unknown[] = [undefined, 1n, NaN, Infinity, -Infinity, -0, Symbol("s"), () => 1];
    others.push(new Date(), new Map(), new Set(), new Uint8Array(1), /x/, new Error("x"), Promise.resolve(), Object(1));
    for (const other of others) {
      for (const value of [other, [1, other], { a: "x", b: other }, [{ a: [other] }]]) {
        assertEquals(isJson(value), false);
      }
    }
    // deno-lint-ignore no-sparse-arrays
    assertEquals([isJson([1, , 2]), isJson(new (class A {})()), isJson(Object.create({ a: 1 }))], [
      false,
      false,
      false,
    ]);
  });

  it("is false for what is nested deeper than 200 levels, and for a cycle", () => {
    let value: unknown = 1;
    for (let i = 0; i < 200; i++) value = [value];
    assertEquals([isJson(value), isJson([value])], [true, false]);
    const cycle: Record<string, unknown> = { a: 1 };
    cycle.self = cycle;
    assertEquals(isJson(cycle), false);
  });

  it("is false for what `JSON.stringify` would replace by the result of its `toJSON`", () => {
    class Rows extends Array<number> {
      toJSON() {
        return "rows";
      }
    }
    const hidden = { toJSON: { value: () => undefined } };
    for (const value of [Rows.of(1), Object.defineProperties({ a: 1 }, hidden), Object.defineProperties([1], hidden)]) {
      assertEquals([isJson(value), isJson([value]), isJson({ value })], [false, false, false]);
    }
    assertEquals(isJson({ toJSON: "text" }), true);
  });
});
