import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Clock } from "../../ports/clock.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
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
    // the server answered at once; the answer was under way for 800 ms
    time.read(at(1_000_000), asked);
    assert(Math.abs(time.at(clock.monotonic()) - 1_000_800) <= 1); // 1 ms for the drift between the clocks
    assert(Math.abs(time.latest(clock.monotonic()) - 1_000_800) <= 2);
    // the server's clock is put back by an hour
    time.read(at(1_000_800 - 3_600_000), clock.monotonic());
    assertEquals(time.at(clock.monotonic()), 1_000_800 - 3_600_000);
    // the server's clock is put forward by an hour again
    time.read(at(1_000_800), clock.monotonic());
    assertEquals(time.at(clock.monotonic()), 1_000_800);
  });

  it("a process that was busy while it asked knows the time only within bounds, and not exactly", async () => {
    const clock = new VirtualClock();
    const time = new ServerClock(clock);
    const asked = clock.monotonic();
    await clock.advance(3_000);
    time.read(at(1_000_000), asked); // the server may have read its clock 3 s ago or just now
    assertEquals([time.at(clock.monotonic()), time.latest(clock.monotonic())], [1_000_000, 1_003_001]);
    assertEquals(time.exact, false);
    time.read(at(1_003_000), clock.monotonic());
    assertEquals([time.at(clock.monotonic()), time.latest(clock.monotonic())], [1_003_000, 1_003_001]);
    assertEquals(time.exact, true);
  });

  it("its bounds are its least and most with each ms that its clock may have gained, and it is not exact for long", async () => {
    const clock = new VirtualClock();
    const time = new ServerClock(clock);
    time.read(at(1_000_000), clock.monotonic());
    await clock.advance(20_000);
    assertEquals([time.at(clock.monotonic()), time.exact], [1_020_000, true]);
    assertEquals(Math.round(time.latest(clock.monotonic())), 1_020_011);
    await clock.advance(10_001);
    assertEquals(time.exact, false);
  });

  it("a slow link makes it no less exact once its bounds have settled, until the server's clock jumps", async () => {
    const clock = new VirtualClock();
    const time = new ServerClock(clock);
    const read = async (ms: number) => {
      const asked = clock.monotonic();
      await clock.advance(200);
      time.read(at(ms), asked);
    };
    await read(1_000_000);
    assertEquals(time.exact, false);
    time.settle();
    await read(1_000_200);
    assertEquals(time.exact, true);
    await read(5_000_000);
    assertEquals(time.exact, false);
  });

  it("is not exact after the machine slept: its monotonic clock stood still", async () => {
    const virtual = new VirtualClock();
    let slept = 0;
    const time = new ServerClock({ ...clockOf(virtual), now: () => virtual.now() + slept });
    time.read(at(1_000_000), virtual.monotonic());
    await virtual.advance(1_000);
    assertEquals(time.exact, true);
    slept = 60_000;
    assertEquals(time.exact, false);
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
