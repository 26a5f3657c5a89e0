import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { shownText, shownValue } from "./shown.ts";

describe("shownText", () => {
  it("makes hidden characters visible, and leaves markup as the text that it is", () => {
    assertEquals(shownText("<b>\x1b[2J\u202e\n"), "<b>\\u{1b}[2J\\u{202e}\\u{a}");
  });

  it("cuts a text behind `most` characters, and says how long it was", () => {
    assertEquals(shownText("abcd", 4), "abcd");
    assertEquals(shownText("abcde", 4), "abcd… (5 characters)");
    assertEquals(shownText("x".repeat(121)), `${"x".repeat(120)}… (121 characters)`);
  });

  it("is well-formed also when it was cut within a character", () => {
    assertEquals(shownText("😀😀", 3), "😀\ufffd… (4 characters)");
  });
});

describe("shownValue", () => {
  it("is indented JSON of a small value, and nothing of undefined", () => {
    assertEquals(shownValue({ a: [1] }), '{\n  "a": [\n    1\n  ]\n}');
    assertEquals(shownValue(null), "null");
    assertEquals(shownValue(undefined), "");
  });

  it("escapes hidden characters", () => {
    assertEquals(shownValue("\u202e\x1b"), '"\\u202e\\u001b"');
    assertEquals(shownValue(["\u202e".repeat(9)], 4), '["\\u{202e}\\u{202e}… (13 characters)');
  });

  it("of a value that is longer than `most` is the beginning of its JSON on one line, at any depth", () => {
    assertEquals(shownValue({ a: "12345" }, 13), '{\n  "a": "12345"\n}');
    assertEquals(shownValue({ a: "12345" }, 12), '{"a":"12345"… (13 characters)');
    assertEquals(shownValue(JSON.parse("[".repeat(1_000) + "]".repeat(1_000)), 3), "[[[… (2000 characters)");
  });

  it("shows values that JSON does not have, and cuts them too", () => {
    assertEquals(shownValue({ n: 2n ** 64n }), '{\n  "n": "18446744073709551616"\n}');
    assertEquals(shownValue(new Map([["a", 1]])), '[\n  [\n    "a",\n    1\n  ]\n]');
    assertEquals(shownValue(new Set("abcdef"), 8), '["a","b"… (25 characters)');
  });

  it("says why a value cannot be shown", () => {
    assertEquals(shownValue({ f: () => 1 }), "cannot be shown: value.f is a function");
  });
});
