import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { decided, DecidedFailure } from "./recorded_error.ts";
import { copyOf, shownValue } from "./recorded_value.ts";
import { CatgaError } from "../../error.ts";

describe("a value that fits into a message only without the escaped quotes of its tags", () => {
  const most = 100_000;
  const rows = Array(19_000).fill("ab"); // 95,000 bytes, and 38,000 more as a text in JSON
  const tagged = { on: new Date(0), rows };

  it("is TOO_LARGE (its step was done again and again, as it could not be stored)", () => {
    assertEquals(copyOf({ rows }, "the result", most), { rows });
    assertEquals(assertThrows(() => copyOf(tagged, "the result", most), DecidedFailure).code, "TOO_LARGE");
    const failure = new CatgaError("NO", "no", { details: tagged });
    assertEquals(assertThrows(() => decided(failure, "the step", most), DecidedFailure).code, "TOO_LARGE");
    assertThrows(() => shownValue("show", { on: new Date(0), rows: rows.slice(0, 4_500) }, most), RangeError);
  });
});
