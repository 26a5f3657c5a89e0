import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { encodeValue } from "../../data/encoding.ts";
import { payloadOf } from "./payload_of.ts";

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
