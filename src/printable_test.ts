import { describe, it } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { printable, printableJson } from "./printable.ts";

/** From each range that is not shown as it is. */
export const HIDDEN: readonly number[] = [
  ...[0x00, 0x07, 0x08, 0x09, 0x0a, 0x0d, 0x1b, 0x1f, 0x7f], // C0 and DEL
  ...[0x80, 0x85, 0x9b, 0x9d, 0x9f], // C1
  ...[0xad, 0x34f, 0x61c, 0x115f, 0x180e, 0x3164, 0xffa0], // no width
  ...[0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2060, 0xfeff, 0xfe0f],
  ...[0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069], // direction
  ...[0x2028, 0x2029], // line breaks
  ...[0xd800, 0xdbff, 0xdc00, 0xdfff], // halves
  ...[0xe0000, 0xe0001, 0xe0041, 0xe007f, 0xe0100], // tags
];

describe("printable", () => {
  it("writes what is not seen as its number", () => {
    for (const code of HIDDEN) {
      assertEquals(printable(`a${String.fromCodePoint(code)}b`), `a\\u{${code.toString(16)}}b`);
    }
  });

  it("leaves what is read as it is: letters of any script, marks, emoji, spaces", () => {
    for (
      const text of ["orders-1", "größer", "हिन्दी", "ภาษาไทย", "日本語　東京", "🍵👋🏽", "e\u0301 1\u00a0000", "\\u{1b}"]
    ) {
      assertEquals(printable(text), text);
    }
  });

  it("does not stack marks without an end", () => {
    assertEquals(printable(`a${"\u0301".repeat(6)}b`), `a${"\u0301".repeat(4)}\\u{301}\\u{301}b`);
  });
});

describe("printableJson", () => {
  it("is JSON of the same value, with nothing in it that printable would change", () => {
    for (const code of HIDDEN) {
      const value = { [`k${String.fromCodePoint(code)}`]: [`v${String.fromCodePoint(code)}`] };
      const text = printableJson(value)!;
      assertEquals(JSON.parse(text), value);
      assertEquals(printable(text), text);
      assertEquals(JSON.parse(printableJson(value, 2)!), value);
    }
    assertEquals(printableJson({ a: "grün 🍵" }), '{"a":"grün 🍵"}');
    assertEquals(printableJson(undefined), undefined);
  });

  it("with an indent has lines of its own", () => {
    assertEquals(printableJson({ a: "x\ny\u202e" }, 2), '{\n  "a": "x\\ny\\u202e"\n}');
  });

  it("of what is nested too deeply for lines is on one", () => {
    const deep = JSON.parse("[".repeat(10_000) + "]".repeat(10_000));
    const text = printableJson(deep, 2)!;
    assertEquals(text, "[".repeat(10_000) + "]".repeat(10_000));
    assertStringIncludes(printableJson([[]], 2)!, "\n");
  });
});
