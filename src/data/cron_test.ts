import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { parseCron } from "./cron.ts";

/** Returns the next `count` times of a pattern after a time, as ISO text. */
function next(pattern: string, after: string, count = 1, zone?: string): (string | undefined)[] {
  const cron = parseCron(pattern, zone);
  const found: (string | undefined)[] = [];
  for (let time: number | undefined = Date.parse(after); found.length < count && time !== undefined;) {
    time = cron.next(time);
    found.push(time === undefined ? undefined : new Date(time).toISOString().replace(".000Z", "Z"));
  }
  return found;
}

describe("cron", () => {
  it("next: is in whole seconds, after the time, not at it", () => {
    assertEquals(next("* * * * * *", "2026-01-01T00:00:00.000Z"), ["2026-01-01T00:00:01Z"]);
    assertEquals(next("* * * * * *", "2026-01-01T00:00:00.999Z"), ["2026-01-01T00:00:01Z"]);
    assertEquals(next("0 0 0 1 1 *", "2026-01-01T00:00:00Z"), ["2027-01-01T00:00:00Z"]);
  });

  it("next: numbers, ranges, steps, lists and names", () => {
    const cases: [string, string, string[]][] = [
      ["0 0 5 * * *", "2026-01-01T05:00:00Z", ["2026-01-02T05:00:00Z", "2026-01-03T05:00:00Z"]],
      ["*/20 * * * * *", "2026-01-01T00:00:30Z", ["2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z"]],
      ["0 5/25 * * * *", "2026-01-01T00:00:00Z", [
        "2026-01-01T00:05:00Z",
        "2026-01-01T00:30:00Z",
        "2026-01-01T00:55:00Z",
        "2026-01-01T01:05:00Z",
      ]],
      ["0 0 9-17/4 * * *", "2026-01-01T10:00:00Z", [
        "2026-01-01T13:00:00Z",
        "2026-01-01T17:00:00Z",
        "2026-01-02T09:00:00Z",
      ]],
      ["0 0 0 1,15 * ?", "2026-01-02T00:00:00Z", ["2026-01-15T00:00:00Z", "2026-02-01T00:00:00Z"]],
      ["0 0 0 * jan-Mar MON", "2026-03-24T00:00:00Z", ["2026-03-30T00:00:00Z", "2027-01-04T00:00:00Z"]],
      ["59 59 23 31 12 *", "2026-06-01T00:00:00Z", ["2026-12-31T23:59:59Z"]],
      ["0 0 0 29 2 *", "2026-01-01T00:00:00Z", ["2028-02-29T00:00:00Z"]],
    ];
    for (const [pattern, after, expected] of cases) {
      assertEquals(next(pattern, after, expected.length), expected, pattern);
    }
  });

  it("next: a day fits both fields, or one of them if neither is *", () => {
    // 2026-01-04 is a Sunday; 2026-01-13 is a Tuesday
    assertEquals(next("0 0 0 13 * 0", "2026-01-01T00:00:00Z", 3), [
      "2026-01-04T00:00:00Z",
      "2026-01-11T00:00:00Z",
      "2026-01-13T00:00:00Z",
    ]);
    assertEquals(next("0 0 0 13 * *", "2026-01-01T00:00:00Z", 2), ["2026-01-13T00:00:00Z", "2026-02-13T00:00:00Z"]);
    assertEquals(next("0 0 0 * * sun", "2026-01-01T00:00:00Z", 2), ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]);
  });

  it("next: names of whole hours, days, weeks, months and years", () => {
    const at = Date.UTC(2026, 10, 22, 17, 30); // a Sunday
    const days = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"].map((name) =>
      new Date(parseCron(name).next(at)!).toISOString().slice(0, 13)
    );
    assertEquals(days, [
      ...["2026-11-22T18", "2026-11-23T00", "2026-11-23T00", "2026-11-29T00", "2026-12-01T00"],
      ...["2027-01-01T00", "2027-01-01T00"],
    ]);
  });

  it("next: undefined for a day that never comes", () => {
    assertEquals(next("0 0 0 31 2 *", "2026-01-01T00:00:00Z"), [undefined]);
  });

  it("zone: is the wall clock of the place, in winter and in summer", () => {
    const five = (after: string) => next("0 0 5 * * *", after, 1, "Europe/Berlin");
    assertEquals(five("2026-01-10T12:00:00Z"), ["2026-01-11T04:00:00Z"]);
    assertEquals(five("2026-07-10T12:00:00Z"), ["2026-07-11T03:00:00Z"]);
    assertEquals(five("2026-03-28T12:00:00Z"), ["2026-03-29T03:00:00Z"]);
    assertEquals(next("0 30 * * * *", "2026-01-01T00:00:00Z", 2, "Asia/Kathmandu"), [
      "2026-01-01T00:45:00Z",
      "2026-01-01T01:45:00Z",
    ]);
    assertEquals(next("0 0 0 1 * *", "2026-01-15T00:00:00Z", 2, "America/New_York"), [
      "2026-02-01T05:00:00Z",
      "2026-03-01T05:00:00Z",
    ]);
  });

  it("zone: a time that is skipped in spring is not that day's, one that comes twice in autumn is due twice", () => {
    const half = (after: string, count: number) => next("0 30 2 * * *", after, count, "Europe/Berlin");
    assertEquals(half("2026-03-28T00:00:00Z", 2), ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]);
    assertEquals(half("2026-10-24T12:00:00Z", 3), [
      "2026-10-25T00:30:00Z",
      "2026-10-25T01:30:00Z",
      "2026-10-26T01:30:00Z",
    ]);
  });

  it("zone: the server passes over a day whose midnight is skipped, if it comes from an earlier one", () => {
    // in Santiago, clocks go from 24:00 to 01:00 on 2026-09-06
    assertEquals(next("0 0 12 6 9 *", "2026-09-05T00:00:00Z", 1, "America/Santiago"), ["2030-09-06T16:00:00Z"]);
    assertEquals(next("0 0 12 * * *", "2026-09-05T00:00:00Z", 2, "America/Santiago"), [
      "2026-09-05T16:00:00Z",
      "2026-09-06T15:00:00Z",
    ]);
    assertEquals(next("0 0 0 * * *", "2026-09-05T12:00:00Z", 1, "America/Santiago"), ["2026-09-07T03:00:00Z"]);
  });

  it("parseCron: other patterns and zones are a RangeError", () => {
    for (
      const bad of [
        "",
        "* * * * *",
        "* * * * * * *",
        "60 * * * * *",
        "* 60 * * * *",
        "* * 24 * * *",
        "* * * 0 * *",
        "* * * 32 * *",
        "* * * * 13 *",
        "* * * * * 7",
        "a * * * * *",
        "1-0 * * * * *",
        "*/0 * * * * *",
        "1--2 * * * * *",
        "1,,2 * * * * *",
        "1/2/3 * * * * *",
        "-1 * * * * *",
        "1.5 * * * * *",
        "* * * mon * *",
        "@often",
      ]
    ) assertThrows(() => parseCron(bad), RangeError, undefined, bad);
    assertThrows(() => parseCron("* * * * * *", "Europe/Atlantis"), RangeError);
  });
});
