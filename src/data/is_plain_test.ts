import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { runInNewContext } from "node:vm";
import * as own from "./checks.ts";

const { isPlain } = own;

describe("isPlain", () => {
  it("accepts what was written as an object, here or in another realm, and what has no prototype", () => {
    const accepted: unknown[] = [
      {},
      { a: 1 },
      Object.freeze({}),
      Object.create(null),
      own,
      runInNewContext("({ a: 1 })"),
    ];
    assertEquals(accepted.filter((value) => !isPlain(value)), []);
  });

  it("refuses arrays, instances of classes, what inherits from another object, functions and primitives", () => {
    class Own {}
    const refused: unknown[] = [
      ...[[], new Date(), new Map(), new Set(), /a/, new Error("a"), new Own(), new Uint8Array(), new Headers()],
      ...[
        Promise.resolve(),
        new String("a"),
        Object.create({ a: 1 }),
        runInNewContext("[]"),
        runInNewContext("new Map()"),
      ],
      ...[() => {}, Own, null, undefined, "a", 5, 5n, true, Symbol("a")],
    ];
    assertEquals(refused.filter(isPlain), []);
  });
});
