import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { freezePlain } from "./checks.ts";

describe("freezePlain", () => {
  it("freezes arrays and plain objects in depth, and returns the value", () => {
    const value = { items: [{ sku: "tea" }], bare: Object.assign(Object.create(null), { list: [1] }) };
    assertStrictEquals(freezePlain(value), value);
    for (const part of [value, value.items, value.items[0], value.bare, value.bare.list]) {
      assertEquals(Object.isFrozen(part), true);
    }
    assertThrows(() => value.items.push({ sku: "milk" }), TypeError);
    assertEquals(value.items.length, 1);
  });

  it("leaves instances, collections and buffers as they are, and what they hold", () => {
    class Money {
      cents = [1];
    }
    class Line extends Array<number> {}
    const value = {
      money: new Money(),
      map: new Map([["a", { n: 1 }]]),
      set: new Set([1]),
      at: new Date(0),
      bytes: new Uint8Array(2),
      line: Line.of(1, 2),
      fn: () => {},
    };
    freezePlain(value);
    assertEquals(Object.isFrozen(value), true);
    for (const part of [...Object.values(value), value.money.cents, value.map.get("a")]) {
      assertEquals(Object.isFrozen(part), false);
    }
    assertStrictEquals(freezePlain(value.map), value.map);
    for (const simple of [undefined, null, 1, "text", 1n]) assertStrictEquals(freezePlain(simple), simple);
  });

  it("calls no getter, and stops at what is frozen", () => {
    const inside = { n: 1 };
    const value = {
      get broken(): number {
        throw new Error("called");
      },
      done: Object.freeze({ inside }),
    };
    freezePlain(value);
    assertEquals([Object.isFrozen(value), Object.isFrozen(inside)], [true, false]);
  });

  it("ends for cycles, and for 100,000 levels", () => {
    const ring: { next?: unknown; items: unknown[] } = { items: [] };
    ring.next = ring;
    ring.items.push(ring, ring.items);
    freezePlain(ring);
    assertEquals(Object.isFrozen(ring.items), true);
    const innermost: unknown[] = [];
    let deep: unknown = innermost;
    for (let level = 0; level < 100_000; level++) deep = level % 2 === 0 ? [deep] : { deep };
    freezePlain(deep);
    assertEquals(Object.isFrozen(innermost), true);
  });
});
