import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { decodeText, encodeValue } from "../data/encoding.ts";
import { read, write } from "./values.ts";

const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -0,
  NaN,
  -Infinity,
  1.5e300,
  "",
  "~",
  "~~x",
  "~undefined",
  "ü€𐍈\u2028",
  [],
  {},
  [1, [2, ["~"]]],
  { a: undefined, "~b": "~", c: { d: null } },
  Object.fromEntries([["__proto__", 1]]),
  [undefined, , 3],
  Array(2).fill({ same: [] }),
  Object.assign(Object.create(null), { a: 1 }),
  123456789012345678901234567890n,
  -5n,
  new Date(0),
  new Date(NaN),
  new Map<unknown, unknown>([["a", 1], [{ k: 1 }, new Set([1, "~Map"])]]),
  new Set([new Map([[1n, new Date(5)]])]),
  new Uint8Array([0, 127, 128, 255]),
  new Float64Array([1.5, -0]),
  new BigInt64Array([-1n]),
  new DataView(new Uint8Array([1, 2]).buffer),
  new Uint8Array([9, 8, 7]).buffer,
  ["~Map", 1],
];

describe("values of the client", () => {
  it("are written and read as on the server, each way", () => {
    for (const value of VALUES) {
      const text = encodeValue(value, "value");
      assertEquals(read(text), decodeText(text), text);
      assertEquals(write(value), text);
    }
  });

  it("of Temporal, where the runtime has it", { skip: !("Temporal" in globalThis) && "no Temporal here" }, () => {
    const values = [
      Temporal.Instant.from("2026-11-27T01:02:03.000000004Z"),
      Temporal.ZonedDateTime.from("2026-11-27T01:02:03+01:00[Europe/Berlin]"),
      Temporal.ZonedDateTime.from("2026-11-27T01:02:03+01:00[Europe/Berlin][u-ca=gregory]"),
      Temporal.PlainDate.from("2026-11-27"),
      Temporal.PlainTime.from("01:02:03"),
      Temporal.Duration.from({ milliseconds: 1_000, days: -0 }),
    ];
    for (const value of values) {
      const text = encodeValue(value, "value");
      assertEquals([write(value), String(read(text))], [text, String(value)]);
    }
  });

  it("undefined is no text; what cannot be sent, and a text that is none, throw", () => {
    assertEquals([write(undefined), read("")], ["", undefined]);
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const value of [() => 1, Symbol("x"), cycle, { at: new URL("http://a") }, new (class A {})()]) {
      assertThrows(() => write(value), TypeError);
    }
    for (const name of ["Thing", "process", "Object", "Temporal.Object"]) {
      for (const content of ["AAAA", "no base64"]) {
        const refused = `a value of ${name} cannot be read here`;
        assertThrows(() => read(`~"~${name}:${content}"`), TypeError, refused);
      }
    }
    for (const text of ["{", '~"~Thing:1"', "~", '~"~none"', '~["~Map"]extra']) assertThrows(() => read(text), text);
  });
});
