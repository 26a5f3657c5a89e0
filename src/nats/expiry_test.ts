import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Clock } from "../ports/clock.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { MARGIN, readTtl, ServerClock } from "./expiry.ts";

describe("readTtl", () => {
  const cases: readonly [header: string | undefined, ms: number | undefined][] = [
    [undefined, undefined],
    ["", undefined],
    ["never", undefined],
    ["nonsense", undefined],
    ["-5s", undefined],
    ["2s", 2_000],
    ["7", 7_000],
    ["1m30s", 90_000],
    ["1h", 3_600_000],
    ["1500ms", 1_000],
    ["2.5s", 2_000],
  ];
  for (const [header, ms] of cases) {
    it(`${JSON.stringify(header)} is ${ms}`, () => assertEquals(readTtl(header), ms));
  }
});

describe("ServerClock", () => {
  const at = (ms: number) => new Date(ms).toISOString();

  it("has no time, and lets no entry expire, before its first reading", () => {
    const time = new ServerClock(new VirtualClock());
    assertEquals([time.known, time.freshSince(0)], [false, false]);
    assertEquals(time.endOf({ stored: 0, ttl: 1_000 }) <= Infinity, false);
  });

  it("is carried forward by the monotonic clock, never by the wall clock", async () => {
    const virtual = new VirtualClock();
    let skew = 0;
    const clock: Clock = { ...clockOf(virtual), now: () => virtual.now() + skew };
    const time = new ServerClock(clock);
    time.read(at(1_000_000), clock.monotonic());
    skew = 3_600_000;
    await virtual.advance(5_000);
    assertEquals(time.at(clock.monotonic()), 1_005_000);
    const { stored, ttl } = { stored: 1_003_000, ttl: 4_000 };
    assertEquals(time.endOf({ stored, ttl }), clock.monotonic() + 2_000 + MARGIN);
    assertEquals(time.endOf({ stored }), Infinity);
  });

  it("a slow answer does not set it back, one that contradicts it does", async () => {
    const clock = new VirtualClock();
    const time = new ServerClock(clock);
    time.read(at(1_000_000), clock.monotonic());
    const asked = clock.monotonic();
    await clock.advance(800);
    // the server answered at once, and the answer was on its way for 800 ms
    time.read(at(1_000_000), asked);
    assertEquals(time.at(clock.monotonic()), 1_000_800);
    // the server's clock was put back by an hour
    time.read(at(1_000_800 - 3_600_000), clock.monotonic());
    assertEquals(time.at(clock.monotonic()), 1_000_800 - 3_600_000);
    // and forward again
    time.read(at(1_000_800), clock.monotonic());
    assertEquals(time.at(clock.monotonic()), 1_000_800);
  });
});

function clockOf(virtual: VirtualClock): Clock {
  return {
    now: () => virtual.now(),
    monotonic: () => virtual.monotonic(),
    after: (ms, callback) => virtual.after(ms, callback),
    soon: (callback) => virtual.soon(callback),
  };
}
