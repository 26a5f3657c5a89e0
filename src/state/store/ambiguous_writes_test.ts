import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { isAmbiguous, staleAnswer } from "./ambiguous_writes.ts";

describe("isAmbiguous", () => {
  it("is true of a failure without an answer, also of an answer by a server that lags behind", () => {
    assertEquals(isAmbiguous(new CatgaError("UNAVAILABLE", "no answer")), true);
    assertEquals(isAmbiguous(staleAnswer()), true);
  });

  it("is false of answers that refuse, and of other errors", () => {
    assertEquals(isAmbiguous(new CatgaError("TOO_LARGE", "4 MB")), false);
    assertEquals(isAmbiguous(new CatgaError("CLOSED", "the app stops")), false);
    assertEquals(isAmbiguous(new TypeError("no key")), false);
    assertEquals(isAmbiguous(undefined), false);
  });
});
