import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { HIDDEN_TEXT } from "../../../test/support/hidden_characters.ts";
import { printable } from "../../data/printable.ts";
import { CatgaError } from "../../error.ts";
import { CallStats } from "./plain_calls.ts";

describe("CallStats", () => {
  it("before the first request all counts are 0, the average too", () => {
    assertEquals(new CallStats().counts, {
      num_requests: 0,
      num_errors: 0,
      last_error: "",
      processing_time: 0,
      average_processing_time: 0,
    });
  });

  it("times are whole ns; failures count as requests, and the last one stays after a success", () => {
    const stats = new CallStats();
    stats.count(1.5, new CatgaError("NO_HANDLER", "first"));
    stats.count(0.000_001, new CatgaError("429", "second"));
    stats.count(0.000_000_6, undefined);
    assertEquals(stats.counts, {
      num_requests: 3,
      num_errors: 2,
      last_error: "429:429",
      processing_time: 1_500_002,
      average_processing_time: 500_001,
    });
  });

  it("the last error is its status and code, never its message; nothing in it is hidden or obeyed by a terminal", () => {
    const stats = new CallStats();
    stats.count(1, new CatgaError("NO_TEA", "the pot of alice is empty"));
    assertEquals(stats.counts.last_error, "422:NO_TEA");
    stats.count(1, new CatgaError(HIDDEN_TEXT, "no"));
    assertEquals(stats.counts.last_error, printable(`422:${HIDDEN_TEXT}`));
  });
});
