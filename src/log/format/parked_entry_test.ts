import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type ParkedEntry, readParked, writeParked } from "./parked_entry.ts";

const ENTRY: ParkedEntry = {
  token: 5,
  message: {
    position: 1_024,
    category: "orders.Placed",
    id: "m1",
    key: "k",
    payload: { a: [1, null] },
    tagged: false,
    meta: { c: "c1", a: "a1", h: { ["__proto__"]: "x" }, k: 1_000 },
    time: 1_795_000_000_000,
  },
  attempts: 3,
  error: { code: "BROKE", message: "why" },
  due: 1_795_000_001_000,
  dead: 0,
  request: "replay",
};

describe("parked entries", () => {
  it("are read as they were written", () => {
    assertEquals(readParked(1_024, writeParked(ENTRY)), ENTRY);
    const { request: _, ...rest } = ENTRY;
    const bare: ParkedEntry = {
      ...rest,
      error: undefined,
      message: { ...ENTRY.message, key: undefined, meta: undefined, payload: undefined },
    };
    assertEquals(readParked(1_024, writeParked(bare)), bare);
    const tagged = { ...ENTRY, message: { ...ENTRY.message, tagged: true, payload: '~{"at":"~d1"}' } };
    assertEquals(readParked(1_024, writeParked(tagged)), tagged);
  });

  it("keep a payload of 1,000 levels, and are invalid with a deeper one", () => {
    const deep = (levels: number) => {
      const payload = JSON.parse("[".repeat(levels) + "]".repeat(levels));
      return readParked(1_024, writeParked({ ...ENTRY, message: { ...ENTRY.message, payload } }));
    };
    let depth = 0;
    for (let at = (deep(1_000) as ParkedEntry).message.payload; Array.isArray(at); at = at[0]) depth++;
    assertEquals([depth, deep(2_000)], [1_000, "nested too deeply"]);
  });

  it("keep the beginning of a long error", () => {
    const error = { code: "C".repeat(1_000), message: "m".repeat(5_000) };
    const read = readParked(1_024, writeParked({ ...ENTRY, error })) as ParkedEntry;
    assertEquals([read.error?.code.length, read.error?.message.length], [201, 1_001]);
  });

  it("that are invalid are described", () => {
    const value = JSON.parse(writeParked(ENTRY));
    const cases: [unknown, string][] = [
      [[], "no object"],
      [{ ...value, v: 2 }, "of another version"],
      [{ ...value, token: -1 }, "no token, attempts or times"],
      [{ ...value, attempts: 1.5 }, "no token, attempts or times"],
      [{ ...value, due: "1" }, "no token, attempts or times"],
      [{ ...value, error: ["x"] }, "no error"],
      [{ ...value, error: { code: "x" } }, "no error"],
      [{ ...value, request: "erase" }, "another request"],
      [{ ...value, message: null }, "no message"],
      [{ ...value, message: { ...value.message, category: "a/b" } }, "no position, category, id or time"],
      [{ ...value, message: { ...value.message, key: 1 } }, "no key"],
      [{ ...value, message: { ...value.message, tagged: true } }, "no payload"],
      [{ ...value, message: { ...value.message, meta: { h: { a: 1 } } } }, "no headers"],
      [{ ...value, message: { ...value.message, position: 7 } }, "its position is not that of its key"],
    ];
    for (const [entry, why] of cases) assertEquals(readParked(1_024, JSON.stringify(entry)), why);
    assertEquals(readParked(1_024, "{"), "no JSON");
  });
});
