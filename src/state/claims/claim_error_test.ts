import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { claimant } from "../../../test/support/claims.ts";
import { type Ran, withoutResult } from "./claim_error.ts";

function failure(error: unknown, ran: Ran, over?: CatgaError, last?: unknown) {
  const observed: Observation[] = [];
  const observer = (seen: Observation) => void observed.push(seen);
  const { error: failed } = withoutResult(claimant(new VirtualClock(), "a"), error, { ran, over, last, observer });
  return { failed, observed };
}

describe("withoutResult", () => {
  const timeout = new CatgaError("TIMEOUT", "the deadline has passed");
  const away = new CatgaError("UNAVAILABLE", "no answer");

  it("is UNAVAILABLE and retryable if the command certainly did not run", () => {
    for (const { failed } of [failure(away, "new"), failure(timeout, "new", timeout)]) {
      assertEquals(failed.code, "UNAVAILABLE");
      assertEquals(failed.retryable, true);
      assertStringIncludes(failed.message, "did not run");
    }
  });

  it("says what the store answered last, when the deadline has passed", () => {
    const full = new CatgaError("UNAVAILABLE", "the store is full");
    assertStringIncludes(failure(timeout, "new", timeout, full).failed.message, "last error: the store is full");
  });

  it("is OUTCOME_UNKNOWN and retryable if this attempt or another may have run it", () => {
    for (const ran of ["elsewhere", "here"] as const) {
      for (const error of [away, timeout, new Error("broken")]) {
        const { failed } = failure(error, ran, timeout);
        assertEquals(failed.code, "OUTCOME_UNKNOWN");
        assertEquals(failed.retryable, true);
      }
    }
  });

  it("is CANCELLED if the sender gave up, whoever ran it, and CLOSED if the node stops before it ran", () => {
    const cancelled = new CatgaError("CANCELLED", "the sender gave up");
    for (const ran of ["new", "elsewhere", "here"] as const) assertEquals(failure(cancelled, ran).failed, cancelled);
    const closed = new CatgaError("CLOSED", "the app is stopped");
    assertEquals(failure(closed, "new", closed).failed, closed);
  });

  it("is INVALID_MESSAGE for an invalid key; other errors of the store are observed", () => {
    const invalid = failure(new RangeError("too long"), "new");
    assertEquals(invalid.failed.code, "INVALID_MESSAGE");
    assertEquals(invalid.observed, []);
    const broken = new Error("broken");
    const unexpected = failure(broken, "new");
    assertEquals(unexpected.failed.code, "UNAVAILABLE");
    assertEquals(unexpected.observed, [{ type: "fault", during: "claiming an id of CreateOrder", error: broken }]);
  });
});
