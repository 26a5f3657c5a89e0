import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { readNumbers, writeNumbers } from "./record_text.ts";

describe("writeNumbers", () => {
  it("is read as it was written, up to the greatest position", () => {
    const numbers = [0, 1, -1, 15, 16, -16, 31, 32, 1_024, -1_023, 1_800_000_000_000 * 1_024 + 1_023, 2 ** 53 - 1];
    assertEquals(readNumbers(writeNumbers(numbers)), numbers);
    assertEquals(readNumbers(""), []);
  });

  it("takes a character for a number below 16", () => {
    assertEquals(writeNumbers([1, 15, -16]).length, 3);
  });
});

describe("readNumbers", () => {
  it("refuses what is no text of numbers", () => {
    for (const text of [undefined, 1, "!", "g", "_______________A"]) {
      assertEquals(readNumbers(text), undefined, `${text}`);
    }
  });
});
