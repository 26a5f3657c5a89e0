import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { decodeText, encodeValue } from "../../data/encoding.ts";
import { payloadOf, unusable } from "./logged_message.ts";

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

describe("payloadOf", () => {
  it("is what was published", () => {
    assertEquals(payloadOf({ payload: { at: 1 }, tagged: false }), { at: 1 });
    const value = { at: new Date(0), of: [7n] };
    assertEquals(payloadOf({ payload: encodeValue(value, "payload"), tagged: true }), value);
  });

  it("a text that cannot be decoded is itself", () => {
    assertEquals(payloadOf({ payload: "(left out)", tagged: true }), "(left out)");
  });
});
