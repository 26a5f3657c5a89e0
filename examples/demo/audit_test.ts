import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { audit, median, percentile } from "./audit.ts";

const told = (messageId: string, code: string, orderId?: string) => ({ messageId, code, orderId });
const written = (messageId: string, orderId: string) => ({ messageId, orderId });

describe("audit", () => {
  it("finds nothing when each acknowledged order was written once", () => {
    const found = audit([told("m1", "ok", "a"), told("m2", "ok", "b")], [written("m2", "b"), written("m1", "a")]);
    assertEquals(found, {
      succeeded: 2,
      unknown: 0,
      unknownRan: 0,
      failed: new Map(),
      failedRan: [],
      lost: [],
      twice: [],
    });
  });

  it("lost: an order that was acknowledged and not written", () => {
    assertEquals(audit([told("m1", "ok", "a"), told("m2", "ok", "b")], [written("m1", "a")]).lost, ["m2"]);
  });

  it("lost: an order that was written under another id than the caller has", () => {
    assertEquals(audit([told("m1", "ok", "a")], [written("m1", "z")]).lost, ["m1"]);
  });

  it("lost: an order that was acknowledged without an id", () => {
    assertEquals(audit([told("m1", "ok")], [written("m1", "a")]).lost, ["m1"]);
  });

  it("lost: not an order that nobody acknowledged", () => {
    assertEquals(audit([told("m1", "OUTCOME_UNKNOWN"), told("m2", "UNAVAILABLE")], []).lost, []);
  });

  it("twice: a message that was written twice, by whichever handlers", () => {
    const lines = [written("m1", "a"), written("m2", "b"), written("m1", "c"), written("m3", "d"), written("m3", "d")];
    assertEquals(audit([told("m1", "ok", "a")], lines).twice, ["m1", "m3"]);
  });

  it("twice: also one whose caller was told that the outcome is unknown", () => {
    const lines = [written("m1", "a"), written("m1", "b")];
    assertEquals(audit([told("m1", "OUTCOME_UNKNOWN")], lines).twice, ["m1"]);
  });

  it("unknownRan: counts the unknown that were written", () => {
    const { unknown, unknownRan, succeeded } = audit(
      [told("m1", "OUTCOME_UNKNOWN"), told("m2", "OUTCOME_UNKNOWN"), told("m3", "ok", "c")],
      [written("m2", "b"), written("m3", "c")],
    );
    assertEquals({ unknown, unknownRan, succeeded }, { unknown: 2, unknownRan: 1, succeeded: 1 });
  });

  it("failedRan: one that was said not to have run, and was written", () => {
    const all = [told("m1", "UNAVAILABLE"), told("m2", "UNAVAILABLE"), told("m3", "HANDLER_FAILED")];
    const { failed, failedRan } = audit(all, [written("m2", "b"), written("m3", "c")]);
    assertEquals(failed, new Map([["UNAVAILABLE", 2], ["HANDLER_FAILED", 1]]));
    assertEquals(failedRan, ["m2"]);
  });
});

describe("percentile", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

  it("is the nearest rank, in whichever order the values come", () => {
    assertEquals([0, 50, 99, 100].map((percent) => percentile(hundred, percent)), [1, 50, 99, 100]);
  });

  it("sorts by number", () => {
    assertEquals(percentile([9, 10, 100], 50), 10);
  });

  it("of one value is that value, of none NaN", () => {
    assertEquals([percentile([7], 1), percentile([7], 99), percentile([], 50)], [7, 7, NaN]);
  });
});

describe("median", () => {
  it("is the middle value, or the mean of two", () => {
    assertEquals([median([30, 2, 10]), median([4, 1, 2, 100]), median([])], [10, 3, NaN]);
  });
});
