import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { toJson } from "./json.ts";
import { jsonText, MAX_DEPTH } from "./json_text.ts";
import { CatgaError } from "../error.ts";

describe("jsonText", () => {
  it("returns what JSON.stringify returns", () => {
    const shared = { twice: [1] };
    const values: unknown[] = [
      undefined,
      null,
      true,
      0,
      -0,
      NaN,
      1e21,
      "",
      'a "quoted" \n \ud800 text',
      [],
      {},
      [undefined, () => 1, Symbol("x"), [], {}],
      { gone: undefined, f: () => 1, s: Symbol("x"), kept: null },
      { at: new Date(0), n: new Number(3), s: new String("x"), b: new Boolean(false), bad: new Date(NaN) },
      { toJSON: (key: string) => ({ key }) },
      { a: { toJSON: (key: string) => key }, list: [{ toJSON: (key: string) => key }] },
      Object.assign(() => 1, { toJSON: () => 7 }),
      [shared, shared],
      Object.assign(Object.create({ inherited: 1 }), { own: 2, [Symbol("s")]: 3 }),
      JSON.parse('{"__proto__":{"a":1},"b":[[],{}],"2":1,"1":2}'),
      new Map([[1, 2]]),
      new Uint8Array([1, 2]),
      () => 1,
    ];
    for (const value of values) assertEquals(jsonText(value), JSON.stringify(value));
  });

  it("with `sorted` has the keys of every object in the order of their UTF-16 units", () => {
    assertEquals(
      jsonText({ b: { d: 1, c: 2 }, a: [{ z: 0, y: 0 }] }, { sorted: true }),
      '{"a":[{"y":0,"z":0}],"b":{"c":2,"d":1}}',
    );
  });

  it("throws for a cycle, a bigint, and an endless toJSON", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = [cycle];
    for (const bad of [cycle, 1n, [1n]]) assertThrows(() => jsonText(bad), TypeError);
    const endless = (): unknown => ({ toJSON: () => [endless()] });
    assertThrows(() => jsonText(endless()), RangeError);
  });

  it("is not limited by the stack", () => {
    let deep: unknown = new Date(0);
    for (let i = 0; i < MAX_DEPTH / 2; i++) deep = { a: deep };
    assertEquals(jsonText(deep)!.length, '{"a":}'.length * MAX_DEPTH / 2 + '"1970-01-01T00:00:00.000Z"'.length);
  });
});

describe("toJson", () => {
  it("encodes values that are nested deeper than the runtime's JSON.stringify can encode", () => {
    let deep: unknown = new Date(0);
    for (let i = 0; i < 100_000; i++) deep = [deep];
    const text = `${"[".repeat(100_000)}"1970-01-01T00:00:00.000Z"${"]".repeat(100_000)}`;
    // each of these takes Bun more than a second: the square of the depth that its JSON.stringify reaches
    assertThrows(() => JSON.stringify(deep), RangeError);
    assertEquals(toJson(deep, "INVALID_MESSAGE", "the payload") === text, true); // by `stringify`
  });

  it("says of an endless toJSON that it is nested too deeply", () => {
    const endless = (): unknown => ({ toJSON: () => [endless()] });
    const error = assertThrows(() => toJson(endless(), "INVALID_MESSAGE", "the payload", "Look"), CatgaError);
    assertEquals(error.message, "the payload of Look cannot be encoded as JSON: it is nested too deeply");
  });
});
