import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { isRecord } from "./checks.ts";

describe("isRecord", () => {
  it("accepts objects, those without a prototype too", () => {
    assertEquals([{}, { a: 1 }, Object.create(null)].map(isRecord), [true, true, true]);
  });

  it("refuses null, arrays, functions and primitives", () => {
    assertEquals([null, undefined, [], () => {}, "text", 1].map(isRecord), [false, false, false, false, false, false]);
  });
});
