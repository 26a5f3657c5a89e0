import { describe, it } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { difference, PAYLOADS, UNSENDABLE } from "../../test/support/payloads.ts";
import { CatgaError } from "../error.ts";
import { decodeText, encodeValue, toJson, toText } from "./encoding.ts";
import { isJson } from "./is_json.ts";
import { isTagged } from "./tags.ts";
import { UnsendableError } from "./unsendable.ts";

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
