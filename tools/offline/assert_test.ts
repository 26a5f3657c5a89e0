/**
 * Runs on the stand-ins in the tree and on the real `@std/assert` as published, so that their verdicts stay the same.
 */
import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
} from "@std/assert";
import { describe, it } from "node:test";

class Point {
  constructor(readonly x: number, readonly y: number) {}
}

class Secret {
  readonly #held: string;
  constructor(held: string) {
    this.#held = held;
  }
  get held(): string {
    return this.#held;
  }
}

// without the assertions that are under test
function verdict(assertion: () => void): string {
  try {
    assertion();
    return "passes";
  } catch (error) {
    return error instanceof AssertionError ? "fails" : `throws ${error}`;
  }
}

function expectVerdict(expected: string, what: string, assertion: () => void): void {
  const actual = verdict(assertion);
  if (actual !== expected) throw new Error(`${what}: ${actual}, not ${expected}`);
}

const same: [string, unknown, unknown][] = [
  ["0 and -0", 0, -0],
  ["NaN and NaN", NaN, NaN],
  ["deep values", { a: [1, { b: "c" }] }, { a: [1, { b: "c" }] }],
  ["a plain object and one without a prototype", { a: 1 }, Object.assign(Object.create(null), { a: 1 })],
  ["bytes", new Uint8Array([1, 2]), new Uint8Array([1, 2])],
  ["maps in another order", new Map([["a", 1], ["b", 2]]), new Map([["b", 2], ["a", 1]])],
  ["sets of objects", new Set([{ a: 1 }, { b: 2 }]), new Set([{ b: 2 }, { a: 1 }])],
  ["dates", new Date(1), new Date(1)],
  ["instances", new Point(1, 2), new Point(1, 2)],
  ["URLs", new URL("nats://a:1"), new URL("nats://a:1")],
];
const different: [string, unknown, unknown][] = [
  ["a number and its text", 1, "1"],
  ["null and undefined", null, undefined],
  ["a missing and an undefined property", {}, { a: undefined }],
  ["arrays of another length", [1], [1, undefined]],
  ["an instance and a plain object", new Point(1, 2), { x: 1, y: 2 }],
  ["what getters give", new Secret("a"), new Secret("b")],
  ["bytes", new Uint8Array([1]), new Uint8Array([2])],
  ["arrays of bytes and of numbers", new Uint8Array([1]), [1]],
  ["maps", new Map([["a", { b: 1 }]]), new Map([["a", { b: 2 }]])],
  ["errors with other messages", new Error("a"), new Error("b")],
  ["symbols as keys", { [Symbol.iterator]: 1 }, { [Symbol.iterator]: 2 }],
  ["regular expressions", /a/, /a/g],
];

describe("assert", () => {
  it("assertEquals and assertNotEquals: take the same for equal", () => {
    for (const [what, a, b] of same) {
      expectVerdict("passes", `equal: ${what}`, () => assertEquals(a, b));
      expectVerdict("fails", `not equal: ${what}`, () => assertNotEquals(a, b));
    }
    for (const [what, a, b] of different) {
      expectVerdict("fails", `equal: ${what}`, () => assertEquals(a, b));
      expectVerdict("passes", `not equal: ${what}`, () => assertNotEquals(a, b));
    }
  });

  it("the small ones: pass and fail", () => {
    const pairs: [string, () => void, () => void][] = [
      ["assert", () => assert(1), () => assert("")],
      ["assertFalse", () => assertFalse(0), () => assertFalse("x")],
      ["assertStrictEquals", () => assertStrictEquals(NaN, NaN), () => assertStrictEquals<number>(0, -0)],
      ["assertInstanceOf", () => assertInstanceOf(new Point(1, 2), Point), () => assertInstanceOf({}, Point)],
      ["assertMatch", () => assertMatch("abc", /b/), () => assertMatch("abc", /d/)],
      ["assertStringIncludes", () => assertStringIncludes("abc", "b"), () => assertStringIncludes("abc", "d")],
      ["assertGreater", () => assertGreater(2, 1), () => assertGreater(1, 1)],
      ["assertGreaterOrEqual", () => assertGreaterOrEqual(1, 1), () => assertGreaterOrEqual(NaN, 1)],
      ["assertLess", () => assertLess(1, 2), () => assertLess(1, 1)],
      ["assertLessOrEqual", () => assertLessOrEqual(1, 1), () => assertLessOrEqual(2, 1)],
      ["fail", () => {}, () => fail("for a reason")],
    ];
    for (const [what, good, bad] of pairs) {
      expectVerdict("passes", what, good);
      expectVerdict("fails", what, bad);
    }
  });

  it("assertThrows: wants the class and the text, and gives the error", () => {
    const boom = () => {
      throw new TypeError("no such thing");
    };
    assertStrictEquals(assertThrows(boom, TypeError, "such").message, "no such thing");
    expectVerdict("passes", "a parent", () => assertThrows(boom, Error));
    expectVerdict("fails", "another class", () => assertThrows(boom, RangeError));
    expectVerdict("fails", "another text", () => assertThrows(boom, TypeError, "other"));
    expectVerdict("fails", "nothing thrown", () => assertThrows(() => 1));
  });

  it("assertRejects: wants a rejection, of the class and the text, and gives the error", async () => {
    const boom = () => Promise.reject(new TypeError("no such thing"));
    assertStrictEquals((await assertRejects(boom, TypeError, "such")).message, "no such thing");
    await assertRejects(() => assertRejects(boom, RangeError), AssertionError);
    await assertRejects(() => assertRejects(boom, TypeError, "other"), AssertionError);
    await assertRejects(() => assertRejects(() => Promise.resolve(1)), AssertionError);
    const thrower = () => {
      throw new TypeError("at once");
    };
    await assertRejects(() => assertRejects(thrower, TypeError), AssertionError);
  });
});
