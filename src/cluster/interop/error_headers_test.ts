import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { HIDDEN_TEXT } from "../../../test/support/hidden_characters.ts";
import { printable } from "../../data/printable.ts";
import { errorHeaders } from "./plain_calls.ts";

describe("the headers of a failure", () => {
  it("have nothing in them that a terminal hides or obeys, and are bounded", () => {
    const headers = errorHeaders(new CatgaError(HIDDEN_TEXT, `${HIDDEN_TEXT}\n${HIDDEN_TEXT.repeat(100)}`));
    for (const [name, value] of Object.entries(headers)) {
      assertEquals(value, printable(value));
      assert(value.length <= 512, name);
    }
    assertEquals(errorHeaders(new CatgaError("NO_TEA", " none\tleft ")), {
      "Nats-Service-Error": "none left",
      "Nats-Service-Error-Code": "422",
      "Catga-Error-Code": "NO_TEA",
    });
    assertEquals(errorHeaders(new CatgaError("RATE_LIMITED", "wait"))["Nats-Service-Error-Code"], "429");
  });
});
