import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { difference } from "../../test/support/payloads.ts";
import { MAX_DIGITS } from "./tags.ts";
import { untag } from "./untag.ts";

describe("untag", () => {
  it("rejects what is no tag", () => {
    const invalid = [
      "~",
      "~x",
      "~Date",
      "~Date:",
      "~Date:x",
      "~Date:1.5",
      "~Date:8640000000000001",
      "~Date:99999999999999999",
      "~bigint:",
      "~bigint:-",
      "~bigint:0x1",
      "~bigint:1n",
      `~bigint:${"f".repeat(MAX_DIGITS + 1)}`,
      "~Uint8Array",
      "~Uint8Array:A",
      "~Uint8Array:AAA",
      "~Uint8Array:A*==",
      "~Uint8Array:=AAA",
      "~Uint8Array:AA==AA==",
      "~Uint16Array:AA==",
      "~BigInt64Array:AQID",
      "~Object:1",
      "~constructor:1",
      "~__proto__:AA==",
      "~Map",
      "~Set",
      ["~Map", 1],
      ["~Map", []],
      ["~Map", [1]],
      ["~Map", [1, 2, 3]],
      ["~Map", { 0: 1, 1: 2, length: 2 }],
      ["~Map", ["~Set", 1]],
      [1, "~Map"],
      ["~Set", "~Nothing"],
      { a: [{ b: "~NaN:" }] },
    ];
    for (const value of invalid) {
      assertThrows(() => untag(structuredClone(value)), TypeError, undefined, JSON.stringify(value));
    }
  });

  it("sets no prototype", () => {
    const text = '{"__proto__":["~Map",["a","~Date:0"]],"constructor":{"prototype":"~NaN"},"a":{"__proto__":"~-0"}}';
    const value = untag(JSON.parse(text)) as Record<string, Record<string, unknown>>;
    assertEquals(Object.getPrototypeOf(value), Object.prototype);
    assertEquals(Object.keys(value), ["__proto__", "constructor", "a"]);
    assertEquals(difference(Object.entries(value)[0][1], new Map([["a", new Date(0)]])), undefined);
    assertEquals(Object.keys(value.a), ["__proto__"]);
    assertEquals(({} as { a?: unknown }).a, undefined);
  });

  it("makes bytes no larger than their text, with a buffer of their own", () => {
    const bytes = untag("~Uint8Array:AAAA") as Uint8Array;
    assertEquals([bytes.length, bytes.byteOffset, bytes.buffer.byteLength], [3, 0, 3]);
  });

  it("refuses more than 1,000 levels", () => {
    const deep = (levels: number) => JSON.parse(`${"[".repeat(levels)}"~Date:1"${"]".repeat(levels)}`);
    let [value, levels] = [untag(deep(1_000)), 0];
    while (Array.isArray(value)) [value, levels] = [value[0], levels + 1];
    assertEquals([levels, (value as Date).getTime()], [1_000, 1]);
    for (const levels of [1_001, 400_000]) {
      assertThrows(() => untag(deep(levels)), TypeError, "it is nested more than 1000 levels deep");
    }
  });

  it("leaves alone a Map's entries that are arrays like tags", () => {
    const value = untag(["~Map", ["~~Map", ["~~Set", 1]], [["~Set", 1], "~~"]]);
    assertEquals(difference(value, new Map<unknown, unknown>([["~Map", ["~Set", 1]], [new Set([1]), "~"]])), undefined);
  });
});
