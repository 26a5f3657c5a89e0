import { assertEquals, assertNotEquals } from "@std/assert";
import { describe, it } from "node:test";
import { valueShape } from "./initial_shape.ts";

class Money {
  constructor(readonly amount: number, readonly currency?: string) {}
}

describe("the shape of a value", () => {
  it("is the same for other values of the same kinds, and for members in another order", () => {
    for (
      const [one, other] of [
        [0, Number.NaN],
        ["", "text"],
        [{ a: 1, b: { c: "x", d: true } }, { b: { d: false, c: "y" }, a: -0 }],
        [[1, 2, 3], [4]],
        [new Date(0), new Date()],
        [new Map([["a", 1]]), new Map([["b", 2], ["c", 3]])],
        [new Set(["a"]), new Set(["b", "c"])],
        [new Uint8Array(1), new Uint8Array(2)],
        [new Money(1), new Money(2)],
        [Object.assign(Object.create(null), { a: 1 }), { a: 2 }],
      ]
    ) assertEquals(valueShape(one), valueShape(other));
  });

  it("differs for other kinds and other members, at any level and within arrays, maps and sets", () => {
    const shapes = [
      ...[undefined, null, 0, 0n, "", true, [], {}, new Map(), new Set(), new Date(), new Uint8Array(), () => {}],
      ...[new Float64Array(), new Money(1)],
      ...[[0], [""], [[]], [{ a: 1 }], new Map([["a", 1]]), new Map([["a", ""]]), new Set([1]), new Set([""])],
      ...[{ a: 1 }, { b: 1 }, { a: "" }, { a: undefined }, { a: null }, { a: 1, b: 1 }, { a: { b: 1 } }, {
        a: { c: 1 },
      }],
      ...[{ a: [{ b: 1 }] }, { a: [{ b: 1, c: 1 }] }, new Map([["a", { b: 1 }]]), new Money(1, "EUR")],
    ].map(valueShape);
    assertEquals(new Set(shapes).size, shapes.length);
    // the hash is stored: another one would make nodes apply all events of all entities again
    assertEquals(
      valueShape({ items: [{ at: new Date() }], by: new Map([["a", 1n]]), of: new Uint8Array() }),
      3_644_501_507,
    );
  });

  it("has limits: values that contain themselves, and large ones, have one, too", () => {
    const loop: Record<string, unknown> = { a: 1 };
    loop.b = loop.c = [loop];
    assertEquals(valueShape(loop), valueShape(loop));
    const large = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`m${i}`, { i }]));
    assertNotEquals(valueShape(large(10_000)), valueShape(large(10_001)));
  });
});
