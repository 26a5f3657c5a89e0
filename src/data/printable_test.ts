import { describe, it } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { printable, printableJson } from "./printable.ts";
import { HIDDEN_CODES } from "../../test/support/hidden_characters.ts";

describe("printable", () => {
  it("writes invisible characters as their numbers", () => {
    for (const code of HIDDEN_CODES) {
      assertEquals(printable(`a${String.fromCodePoint(code)}b`), `a\\u{${code.toString(16)}}b`);
    }
  });

  it("leaves visible characters as they are: letters of any script, marks, emoji, spaces", () => {
    for (
      const text of ["orders-1", "größer", "हिन्दी", "ภาษาไทย", "日本語　東京", "🍵👋🏽", "e\u0301 1\u00a0000", "\\u{1b}"]
    ) {
      assertEquals(printable(text), text);
    }
  });

  it("limits the marks on one letter", () => {
    assertEquals(printable(`a${"\u0301".repeat(6)}b`), `a${"\u0301".repeat(4)}\\u{301}\\u{301}b`);
  });
});

describe("printableJson", () => {
  it("is JSON of the same value, with nothing in it that printable would change", () => {
    for (const code of HIDDEN_CODES) {
      const value = { [`k${String.fromCodePoint(code)}`]: [`v${String.fromCodePoint(code)}`] };
      const text = printableJson(value)!;
      assertEquals(JSON.parse(text), value);
      assertEquals(printable(text), text);
      assertEquals(JSON.parse(printableJson(value, 2)!), value);
    }
    assertEquals(printableJson({ a: "grün 🍵" }), '{"a":"grün 🍵"}');
    assertEquals(printableJson(undefined), undefined);
  });

  it("with an indent is on several lines", () => {
    assertEquals(printableJson({ a: "x\ny\u202e" }, 2), '{\n  "a": "x\\ny\\u202e"\n}');
  });

  it("of a value that is nested too deeply for lines is on one, and of what is too deep to be stored is a note", () => {
    const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
    assertEquals(printableJson(JSON.parse(deep(1_000)), 2), deep(1_000));
    // regression: `catga run --json` once printed a note in place of an entry whose value has 1,000 levels
    const entry = { entry: "step", value: JSON.parse(deep(1_000)) };
    assertEquals(printableJson(entry), `{"entry":"step","value":${deep(1_000)}}`);
    assertEquals(printableJson(JSON.parse(deep(1_017)), 2), '"(is nested too deeply: 1000 levels are the most)"');
    assertStringIncludes(printableJson([[]], 2)!, "\n");
  });

  it("shows what JSON lacks as plain clients get it", () => {
    const value = {
      at: new Date(0),
      n: 2n ** 64n,
      seats: new Map([["a", new Set([1])]]),
      file: new Uint8Array([1]),
      no: NaN,
    };
    assertEquals(
      printableJson(value),
      '{"at":"1970-01-01T00:00:00.000Z","n":"18446744073709551616","seats":[["a",[1]]],"file":"AQ==","no":null}',
    );
    assertEquals(printableJson([1n], 2), '[\n  "1"\n]');
  });
});
