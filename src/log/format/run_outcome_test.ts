import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { outcomeOf, outcomeOfError, outcomesOf, STILL_RUNNING } from "./run_request.ts";

describe("outcomeOf", () => {
  it("reads the answers of nodes", () => {
    assertEquals(outcomeOf({ ok: true, value: 0 }), "done");
    assertEquals(outcomeOf({ ok: true, value: 1 }), "not run");
    const failed = { code: "SOLD_OUT", message: "none left", node: undefined };
    assertEquals(outcomeOf({ ok: true, value: ["SOLD_OUT", "none left", 0] }), { ...failed, final: false });
    assertEquals(outcomeOf({ ok: true, value: ["SOLD_OUT", "none left", 1] }), { ...failed, final: true });
    const refused = { ...failed, final: true, refused: true };
    assertEquals(outcomeOf({ ok: true, value: ["SOLD_OUT", "none left", 1, null, 6] }), { ...refused, outage: 5 });
    assertEquals(outcomeOf({ ok: true, value: ["SOLD_OUT", "none left", 3] }), { ...refused, awaitsWriter: true });
  });

  it("takes any other answer for a failure", () => {
    for (const value of [undefined, null, 2, "0", [], ["A"], [1, 2, 3], ["A", "a", 2], { running: [] }]) {
      const outcome = outcomeOf({ ok: true, value });
      assertEquals(typeof outcome === "object" && "code" in outcome && outcome.code, "INVALID_RESPONSE");
    }
  });

  it("tells what certainly was not run from what may run still", () => {
    for (const code of ["NO_HANDLER", "UNAVAILABLE", "OVERLOADED", "DRAINING"] as const) {
      assertEquals(outcomeOf({ ok: false, error: new CatgaError(code, "no") }), "not run");
    }
    for (const late of [true, false]) {
      const busy = new CatgaError("UNAVAILABLE", "no", { node: "b", details: STILL_RUNNING, retryable: late });
      assertEquals(outcomeOf({ ok: false, error: busy }), { busy: "b", late });
    }
    const unknown = outcomeOf({ ok: false, error: new CatgaError("OUTCOME_UNKNOWN", "late", { node: "b" }) });
    assertEquals(unknown, { code: "OUTCOME_UNKNOWN", message: "late", final: false, node: "b" });
    const large = outcomeOf({ ok: false, error: new CatgaError("TOO_LARGE", "4 MB", { node: "b" }) });
    assertEquals(large, { code: "TOO_LARGE", message: "4 MB", final: true, node: undefined });
  });
});

describe("outcomeOfError", () => {
  it("is a failure of the message for what is thrown before it is sent", () => {
    const outcome = outcomeOfError(new TypeError("bad key"));
    assertEquals(outcome, { code: "INVALID_MESSAGE", message: "TypeError: bad key", final: false, node: undefined });
  });
});

describe("outcomesOf", () => {
  it("has one for each member of a batch: done, behind another, to be handled alone, or failed", () => {
    const outcomes = outcomesOf({ ok: true, value: { of: [0, 2, 3, ["NO", "no", 1]] } }, 4);
    const failed = { code: "NO", message: "no", final: true, node: undefined };
    assertEquals(outcomes, ["done", "not run", "alone", failed]);
  });

  it("has none if the answer is not one for each: all of them have that of the result", () => {
    for (const value of [0, { of: [0] }, { of: [0, 4] }, { of: [0, 1] }]) {
      assertEquals(outcomesOf({ ok: true, value }, 2), undefined);
    }
    assertEquals(outcomesOf({ ok: false, error: new CatgaError("DRAINING", "no") }, 2), undefined);
  });
});
