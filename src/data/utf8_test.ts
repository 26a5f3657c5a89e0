import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { byteLength, decode, encode, exceeds } from "./utf8.ts";

describe("utf8", () => {
  it("decode is the reverse of encode, and refuses other bytes", () => {
    for (const text of ["", "tea", "茶 🍵", "\ufffd"]) assertEquals(decode(encode(text)), text);
    for (const bytes of [[0xff], [0xe8, 0x8c], [0xed, 0xa0, 0x80]]) {
      assertThrows(() => decode(Uint8Array.from(bytes)), TypeError);
    }
  });

  it("byteLength counts bytes, not code units", () => {
    assertEquals(["", "tea", "Tée", "茶", "🍵"].map(byteLength), [0, 3, 4, 3, 4]);
  });

  it("exceeds is true from one byte more than the limit on", () => {
    assertEquals([exceeds("茶茶", 6), exceeds("茶茶", 5), exceeds("tea", 3), exceeds("tea", 2)], [
      false,
      true,
      false,
      true,
    ]);
  });
});
