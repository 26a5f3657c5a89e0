import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { dueOfFiring, isNeedlessFiring, isNeedlessOf, parseCron, parseLocalCron, serverCron } from "./cron.ts";
import { readPattern } from "./cron_pattern.ts";
import { zoneClock } from "./zone_clock.ts";

const BERLIN = "Europe/Berlin";

/** Returns the times of a pattern between two times, as ISO text. */
function times(pattern: string, zone: string, from: string, to: string): string[] {
  return textsOf(until(parseLocalCron(pattern, zone).next, Date.parse(from), Date.parse(to)));
}

function until(next: (time: number) => number | undefined, from: number, to: number): number[] {
  const found: number[] = [];
  for (let time = next(from - 1); time !== undefined && time < to; time = next(time)) found.push(time);
  return found;
}

function textsOf(found: readonly number[]): string[] {
  return found.map((time) => new Date(time).toISOString().replace(".000Z", "Z"));
}

describe("parseLocalCron", () => {
  it("a fixed local time that is skipped comes at the end of the gap, once for all that are skipped", () => {
    // in Berlin, clocks go from 02:00 to 03:00 on 2027-03-28, at 01:00 UTC
    const night = (pattern: string) => times(pattern, BERLIN, "2027-03-27T12:00Z", "2027-03-28T12:00Z");
    assertEquals(night("0 30 2 * * *"), ["2027-03-28T01:00:00Z"]);
    assertEquals(night("0 */10 2 * * *"), ["2027-03-28T01:00:00Z"]);
    assertEquals(night("0 30 2,3 * * *"), ["2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z"]);
    assertEquals(night("0 0 2-3 * * *"), ["2027-03-28T01:00:00Z"]);
    assertEquals(night("0 59 1 * * *"), ["2027-03-28T00:59:00Z"]);
  });

  it("a fixed local time that comes twice comes at the first of them", () => {
    // in Berlin, clocks go from 03:00 to 02:00 on 2027-10-31, at 01:00 UTC
    const night = (pattern: string) => times(pattern, BERLIN, "2027-10-30T12:00Z", "2027-10-31T12:00Z");
    assertEquals(night("0 30 2 * * *"), ["2027-10-31T00:30:00Z"]);
    assertEquals(night("0 0 2,3 * * *"), ["2027-10-31T00:00:00Z", "2027-10-31T02:00:00Z"]);
    assertEquals(times("0 30 2 * * *", BERLIN, "2027-10-31T00:45Z", "2027-11-02T00:00Z"), ["2027-11-01T01:30:00Z"]);
  });

  it("with `*` or `/` in the hours it comes as often as time passes", () => {
    const hourly = (from: string, to: string) => times("0 30 * * * *", BERLIN, from, to).length;
    assertEquals(hourly("2027-03-27T23:00Z", "2027-03-28T22:00Z"), 23);
    assertEquals(hourly("2027-10-30T22:00Z", "2027-10-31T23:00Z"), 25);
    assertEquals(times("0 0 */2 * * *", BERLIN, "2027-10-30T23:30Z", "2027-10-31T03:30Z"), [
      "2027-10-31T00:00:00Z",
      "2027-10-31T01:00:00Z",
      "2027-10-31T03:00:00Z",
    ]);
  });

  it("midnight that is skipped is the first moment of the day", () => {
    // in Santiago, clocks go from 24:00 to 01:00 on 2026-09-06
    assertEquals(times("@daily", "America/Santiago", "2026-09-05T12:00Z", "2026-09-07T12:00Z"), [
      "2026-09-06T04:00:00Z",
      "2026-09-07T03:00:00Z",
    ]);
  });

  it("the gap may end on the next day", () => {
    // in Nuuk, clocks go from 23:00 to 24:00 on 2027-03-27
    const night = (pattern: string) => times(pattern, "America/Nuuk", "2027-03-27T12:00Z", "2027-03-28T12:00Z");
    assertEquals(night("0 30 23 * * *"), ["2027-03-28T01:00:00Z"]);
    assertEquals(night("0 0 23 * * 6"), ["2027-03-28T01:00:00Z"]);
  });

  it("a day that a zone left out has its times at its end", () => {
    // Samoa went from 2011-12-29 24:00 to 2011-12-31 00:00
    assertEquals(times("0 0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00Z", "2012-02-01T00:00Z"), [
      "2011-12-30T10:00:00Z",
    ]);
  });
});

describe("serverCron and isNeedlessFiring", () => {
  const NOW = Date.UTC(2026, 10, 27);

  it("leave a cron alone that no change of clocks concerns, and refuse what is none", () => {
    assertEquals(serverCron("0 0 5 * * *", BERLIN, NOW), undefined);
    assertEquals(serverCron("0 30 * * * *", BERLIN, NOW), undefined);
    assertEquals(serverCron("0 30 2 * * *", undefined, NOW), undefined);
    assertEquals(serverCron("0 30 2 * * *", "Asia/Tokyo", NOW), undefined);
    assertEquals(serverCron("0 30 2 * * *", BERLIN, NOW), "0 30,0 2,3 * * *");
    assertEquals(serverCron("@daily", "America/Santiago", NOW), "0 0 0,1 * * *");
    assertEquals(serverCron("0 30 23 * * *", "America/Nuuk", NOW), "0 30,0 23,0 * * *");
    assertEquals(serverCron("0 30 5 * * 0", "America/Santiago", NOW), "0 30 5 * * *");
    assertThrows(() => serverCron("30 2 * * *", BERLIN, NOW), RangeError);
    assertThrows(() => serverCron("0 30 2 * * *", "Europe/Atlantis", NOW), RangeError);
  });

  /** For each zone: the days before its changes of clocks. */
  const zones: readonly (readonly [zone: string, changes: readonly string[]])[] = [
    [BERLIN, ["2027-03-27", "2027-10-30"]],
    ["America/Santiago", ["2027-04-02", "2027-09-04"]],
    ["America/Nuuk", ["2027-03-27", "2027-10-30"]],
    ["Atlantic/Azores", ["2027-03-27", "2027-10-30"]],
    ["Australia/Lord_Howe", ["2027-04-02", "2027-10-01"]],
    ["Asia/Tokyo", ["2027-03-27"]],
  ];
  const patterns = [
    "0 30 2 * * *",
    "0 0 2,3 * * *",
    "0 */20 1-3 * * *",
    "0 0 0 * * *",
    "0 15 2 * * 0",
    "0 0 23 * * 6",
    "0 30 5 * * 0",
    "0 0 */2 * * 0",
    "0 45 1 26-31 * *",
  ];
  for (const [zone, changes] of zones) {
    it(`what the server fires, less what is needless, are the promised times: ${zone}`, () => {
      const clock = zoneClock(zone)!;
      for (const cron of patterns) {
        const server = serverCron(cron, zone, NOW);
        for (const change of changes) {
          const [from, to] = [Date.parse(change), Date.parse(change) + 3 * 86_400_000];
          const fired = until(parseCron(server ?? cron, zone).next, from, to);
          const kept = server === undefined
            ? fired
            : fired.filter((time, n) => !isNeedlessOf(readPattern(cron), readPattern(server), clock, time + n % 5));
          assertEquals(textsOf(kept), textsOf(until(parseLocalCron(cron, zone).next, from, to)), `${cron} ${change}`);
        }
      }
    });
  }

  it("a firing more than 10 s late counts: it may stand for one that an outage of the server kept from coming", () => {
    const counted = { cron: "0 30 2 * * *", zone: BERLIN, server: "0 30,0 2,3 * * *" };
    const three = Date.UTC(2027, 5, 1, 1); // 03:00 in Berlin
    assertEquals([0, 9_999, 10_001].map((late) => isNeedlessFiring(counted, three + late)), [true, true, false]);
    assertEquals(isNeedlessFiring(counted, three - 1_800_000 + 20_000), false);
  });
});

describe("dueOfFiring", () => {
  it("is the last time of the cron, however long ago, also in the nights in which clocks change", () => {
    for (const zone of [BERLIN, "UTC"]) {
      for (const cron of ["0 30 2 * * *", "* * * * * *", "0 0 */2 * * *", "0 0 5 1 * *", "30 0 0 1 1 *"]) {
        const { next } = parseLocalCron(cron, zone);
        for (const from of ["2027-03-27T22:00Z", "2027-10-30T22:00Z", "2027-06-01T04:59Z"]) {
          const times: number[] = [];
          for (let time = next(Date.parse(from))!; times.length < 6; time = next(time)!) times.push(time);
          for (const [i, time] of times.entries()) {
            const last = (times[i + 1] ?? time + 1) - 1;
            assertEquals([time, last].map((at) => dueOfFiring({ cron, zone }, at)), [time, time], `${cron} ${zone}`);
          }
        }
      }
    }
  });

  it("is the second in which it came for a cron that only the server can read", () => {
    assertEquals(dueOfFiring({ cron: "0 0 5 L * *" }, 1_795_167_649_415), 1_795_167_649_000);
    assertEquals(dueOfFiring({ cron: "0 0 5 * * *", zone: "Nowhere/Here" }, 1_795_167_649_415), 1_795_167_649_000);
  });
});
