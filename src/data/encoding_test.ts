import { describe, it } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { difference, PAYLOADS, UNSENDABLE } from "../../test/support/payloads.ts";
import { CatgaError } from "../error.ts";
import { decodeText, encodeValue, isJson, toJson, toText, untag } from "./encoding.ts";
import { isTagged, MAX_DIGITS } from "./tags.ts";
import { UnsendableError } from "./value_text.ts";

describe("encodeValue and decodeText", () => {
  for (const [name, make] of PAYLOADS) {
    it(`return an equal value: ${name}`, () => {
      const [value, text] = [make(), encodeValue(make(), "payload")];
      assertEquals(difference(decodeText(text), value), undefined);
      // a text has tags only if JSON would change the value; otherwise it is the text of JSON.stringify
      assertEquals(isTagged(text), !survivesJson(value));
      if (!isTagged(text)) assertEquals(text, JSON.stringify(value));
      if (isJson(value)) assertEquals(isTagged(text), false);
    });
  }

  it("take the members of an array or object, and do not call its `toJSON`", () => {
    const toJSON = { value: () => undefined };
    const rows = Object.defineProperties(class extends Array<number> {}.of(1, 2), { toJSON });
    const given = [rows, Object.defineProperties({ a: 1 }, { toJSON })];
    assertEquals(encodeValue(given, "payload"), '[[1,2],{"a":1}]');
    assertEquals(encodeValue(given[0], "payload"), "[1,2]");
  });

  it("say where the part is that cannot be sent, and not what it holds", () => {
    for (const [name, make, path] of UNSENDABLE) {
      const error = assertThrows(() => encodeValue(make(), "payload"), UnsendableError);
      assertEquals(error.path, `payload${path}`, name);
      assert(error.message.startsWith(`payload${path} `), error.message);
      assert(!error.message.includes("secret"), error.message);
    }
  });

  it("take 1,000 levels, plain and around a Date, and refuse more", () => {
    for (const inner of [1, new Date(0)]) {
      const nested = (levels: number) => {
        let deep: unknown = inner;
        for (let i = 0; i < levels; i++) deep = i % 2 === 0 ? [deep] : { a: deep };
        return deep;
      };
      const deepest = nested(1_000);
      assertEquals(difference(decodeText(encodeValue(deepest, "payload")), deepest), undefined);
      for (const levels of [1_001, 500_000]) {
        const { message } = assertThrows(() => encodeValue(nested(levels), "payload"), UnsendableError);
        assert(message.endsWith("is nested too deeply: 1000 levels are the most"), message);
      }
    }
  });

  it("say of an object without end that it is nested too deeply, with a path that is cut", () => {
    const endless = (): unknown => ({
      get next() {
        return endless();
      },
    }); // deno-fmt-ignore-line
    const { message } = assertThrows(() => toText(endless(), "INVALID_MESSAGE", "the payload", "Look"), CatgaError);
    assert(message.startsWith("the payload of Look cannot be sent: payload…"), message);
    assert(message.endsWith(".next is nested too deeply: 1000 levels are the most"), message);
    assert(message.length < 400);
  });

  it("leave alone the objects that they encode, and share nothing with them", () => {
    const bytes = new Uint8Array([1, 2]);
    const value = { at: new Date(0), bytes, map: new Map([["a", [1]]]) };
    const back = decodeText(encodeValue(value, "payload")) as typeof value;
    back.bytes[0] = 9;
    back.map.get("a")!.push(2);
    assertEquals([bytes[0], value.map.get("a")], [1, [1]]);
    assertEquals(back.bytes.buffer.byteLength, 2);
  });

  it("take a Buffer for the bytes that it has, an array of a class for an array, and holes for undefined", () => {
    const buffer = (globalThis as unknown as { Buffer: { from(text: string): Uint8Array } }).Buffer.from("ab");
    assertEquals(difference(decodeText(encodeValue(buffer, "")), new Uint8Array([97, 98])), undefined);
    const rows = Object.assign(new (class Rows extends Array {})(), { count: 1 });
    rows.push(1);
    assertEquals(difference(decodeText(encodeValue(rows, "")), [1]), undefined);
    // deno-lint-ignore no-sparse-arrays
    assertEquals(difference(decodeText(encodeValue([1, , 2], "")), [1, undefined, 2]), undefined);
  });

  it("take an object without prototype for a plain one", () => {
    const bare = Object.assign(Object.create(null), { at: new Date(0) });
    assertEquals(difference(decodeText(encodeValue(bare, "")), { at: new Date(0) }), undefined);
  });
});

function survivesJson(value: unknown): boolean {
  try {
    return difference(JSON.parse(JSON.stringify(value)), value) === undefined;
  } catch {
    return false; // JSON.stringify failed: a bigint, or undefined
  }
}

describe("toText and toJson", () => {
  it("throw a CatgaError that names the contract and the path", () => {
    const close = () => 1;
    for (const to of [toText, toJson]) {
      const error = assertThrows(() => to({ account: { close } }, "INVALID_MESSAGE", "the payload", "Pay"), CatgaError);
      assertEquals(error.code, "INVALID_MESSAGE");
      assertEquals(error.message, "the payload of Pay cannot be sent: payload.account.close is a function");
      const answer = assertThrows(() => to(close, "INVALID_RESPONSE", "the answer", "Pay"), CatgaError);
      assertEquals(answer.message, "the answer of Pay cannot be sent: result is a function");
    }
  });

  it("toJson: what programs without Catga read", () => {
    const json = (value: unknown) => toJson(value, "INVALID_RESPONSE", "the answer");
    assertEquals(json({ at: new Date(0), bad: new Date(NaN) }), '{"at":"1970-01-01T00:00:00.000Z","bad":null}');
    assertEquals(json([2n ** 70n, NaN, Infinity, -0, undefined]), '["1180591620717411303424",null,null,0,null]');
    assertEquals(json({ gone: undefined, kept: null }), '{"kept":null}');
    assertEquals(json(new Map([["a", new Set([1, "~"])]])), '[["a",[1,"~"]]]');
    assertEquals(
      json([Temporal.Instant.from("2026-01-01T00:00Z"), Temporal.Duration.from({ milliseconds: 1_500 })]),
      '["2026-01-01T00:00:00Z","PT1.5S"]',
    );
    assertEquals(json([new Uint8Array([1, 2, 3]), new Uint16Array([1]).buffer]), '["AQID","AQA="]');
  });
});

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
