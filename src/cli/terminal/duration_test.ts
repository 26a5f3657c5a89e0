import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { readDuration, showDuration, showMillis, showShort, showTime } from "./duration.ts";

describe("durations of the command line", () => {
  it("readDuration: accepts ms, s, m, h and d, plain numbers as ms, and nothing else", () => {
    assertEquals(["500ms", "5s", "2m", "1h", "0.9s", "250", "1d"].map(readDuration), [
      500,
      5_000,
      120_000,
      3_600_000,
      900,
      250,
      86_400_000,
    ]);
    assertEquals(["", "soon", "5 s", "-1s", "1w", "1e3"].map(readDuration), Array(6).fill(undefined));
  });

  it("showDuration: shows one or two units, and no negative time", () => {
    assertEquals([-5, 850, 12_999, 200_000, 7_500_000, 349_200_000].map(showDuration), [
      "0 ms",
      "850 ms",
      "12 s",
      "3 m 20 s",
      "2 h 5 m",
      "4 d 1 h",
    ]);
  });

  it("showShort: a character is not cut in two", () => {
    const [before, behind] = ["x".repeat(199), "y".repeat(9)];
    assertEquals(showShort(`${before}\u{1f600}${behind}`), `${before}\ufffd… (210 characters)`);
    assertEquals(showShort(`x${before}${behind}`), `x${before}… (209 characters)`);
    assertEquals(showShort(`x${before}`), `x${before}`);
  });

  it("showMillis: shows more digits for shorter times", () => {
    assertEquals([0.123, 1.26, 12.6].map(showMillis), ["0.12 ms", "1.3 ms", "13 ms"]);
  });

  it("showDuration: almost a second is one (it was 1000 ms)", () => {
    assertEquals([999.4, 999.6, 1_000].map(showDuration), ["999 ms", "1 s", "1 s"]);
  });

  it("showTime: an invalid time is a dash", () => {
    assertEquals([new Date(0), new Date(NaN)].map(showTime), ["1970-01-01T00:00:00.000Z", "-"]);
  });

  it("showDuration: 60 of a unit, and 24 hours, are one of the next", () => {
    assertEquals([60_000, 3_600_000, 86_400_000].map(showDuration), ["1 m 0 s", "1 h 0 m", "1 d 0 h"]);
  });
});
