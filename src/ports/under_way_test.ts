import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { OnceAMinute } from "./clock.ts";
import { UnderWay } from "./under_way.ts";

describe("UnderWay", () => {
  it("none: resolves at once when nothing is under way, else when the last one has ended", async () => {
    const clock = new VirtualClock();
    const underWay = new UnderWay();
    await underWay.none(clock, Infinity);
    underWay.begin();
    underWay.begin();
    let none = false;
    const waiting = underWay.none(clock, 60_000).then(() => none = true);
    underWay.end();
    await clock.advance(10);
    assertEquals(none, false);
    underWay.end();
    await waiting;
    assertEquals(underWay.count, 0);
  });

  it("none: waits on when the next one begins as the last one ends, and gives up at the given time", async () => {
    const clock = new VirtualClock();
    const underWay = new UnderWay();
    underWay.begin();
    let endedAt = -1;
    const waiting = underWay.none(clock, clock.monotonic() + 500).then(() => endedAt = clock.monotonic());
    await clock.advance(100);
    underWay.end();
    underWay.begin();
    await clock.advance(399);
    assertEquals(endedAt, -1);
    await clock.advance(1);
    await waiting;
    assertEquals(underWay.count, 1);
  });
});

describe("OnceAMinute", () => {
  it("lets the first report about a thing through, and the next one after a minute", async () => {
    const clock = new VirtualClock();
    const reports = new OnceAMinute(clock);
    assertEquals([reports.due("a"), reports.due("a"), reports.due("b")], [true, false, true]);
    await clock.advance(59_999);
    assertEquals(reports.due("a"), false);
    await clock.advance(1);
    assertEquals(reports.due("a"), true);
  });

  it("lets the next one through after another time that is given", async () => {
    const clock = new VirtualClock();
    const reports = new OnceAMinute(clock);
    reports.due("a");
    await clock.advance(1_000);
    assertEquals([reports.due("a", 1_001), reports.due("a", 1_000), reports.due("a", 1_000)], [false, true, false]);
  });
});
