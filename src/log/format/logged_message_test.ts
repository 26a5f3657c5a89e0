import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { decodeText } from "../../data/encoding.ts";
import { unusable } from "./logged_message.ts";

describe("unusable", () => {
  it("says why, and keeps the beginning of what there was", () => {
    assertEquals(unusable("no JSON", "[1"), "(no JSON) [1");
    const long = unusable("no JSON", "a".repeat(1_024) + "b".repeat(1_024));
    assertEquals(long, `(no JSON) ${"a".repeat(1_024)}`);
  });

  it("is no text of a payload, whatever the excerpt is, so that no handler is given it", () => {
    for (const excerpt of ["", "1", '{"n":1}', "~Date:0", '["~Map"]', "~undefined"]) {
      assertThrows(() => decodeText(unusable("cut", excerpt)), excerpt);
    }
  });
});
