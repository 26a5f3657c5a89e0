import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { checkAppend, checkLog, checkMost, checkPatterns, ttlSeconds } from "./event_log.ts";

describe("log checks", () => {
  it("ttlSeconds: rounds up to whole seconds, from 1 ms to a hundred years", () => {
    assertEquals([1, 999, 1_000, 1_001, 60_000].map(ttlSeconds), [1, 1, 1, 2, 60]);
    assertEquals(ttlSeconds(100 * 365 * 86_400_000), 3_153_600_000);
    for (const bad of [0, -1, NaN, Infinity, 101 * 365 * 86_400_000]) assertThrows(() => ttlSeconds(bad), RangeError);
  });

  it("checkAppend: an empty id is a TypeError, as are line breaks in an id, a zone or cron", () => {
    const options = { timeout: 1_000 };
    const target = "a.b";
    checkAppend("a", { ...options, id: "ä 1", schedule: { at: "* * * * * *", zone: "UTC", target } });
    assertThrows(() => checkAppend("a", { ...options, id: "" }), TypeError);
    assertThrows(() => checkAppend("a", { ...options, id: "a\nb" }), TypeError);
    assertThrows(() => checkAppend("a", { ...options, schedule: { at: "* * *\n* * *", target } }), TypeError);
    assertThrows(
      () => checkAppend("a", { ...options, schedule: { at: "* * * * * *", zone: "a\rb", target } }),
      TypeError,
    );
  });

  it("checkAppend: a schedule is for a time from 1970 to 2262", () => {
    const check = (at: number) => checkAppend("a", { timeout: 1_000, schedule: { at, target: "a.b" } });
    check(0);
    check(Date.UTC(2262, 3, 11));
    for (const bad of [-1, NaN, Infinity, Date.UTC(2262, 3, 12)]) assertThrows(() => check(bad), RangeError);
  });

  it("checkLog, checkPatterns: one pattern is needed at least", () => {
    assertThrows(() => checkPatterns([]), TypeError);
    assertThrows(() => checkLog("log", { subjects: [], replicas: 1, schedules: true }), TypeError);
    assertThrows(() => checkLog("log", { subjects: ["a"], replicas: 6, schedules: true }), RangeError);
    checkLog("log", { subjects: ["a.*", "b.>"], replicas: 3, schedules: true });
  });

  it("checkMost: from 1 to 1,000", () => {
    checkMost(1);
    checkMost(1_000);
    for (const bad of [0, 1_001, 1.5, NaN]) assertThrows(() => checkMost(bad), RangeError);
  });
});
