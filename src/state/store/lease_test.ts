import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Clock, elapsed, stamp } from "../../ports/clock.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { JumpWatch } from "./jump_watch.ts";
import { left, margin } from "./lease.ts";

/** Makes a clock on virtual time whose wall clock can jump. */
function jumpingClock(): { readonly clock: Clock; readonly time: VirtualClock; jump(ms: number): void } {
  const time = new VirtualClock();
  let offset = 0;
  const clock: Clock = {
    now: () => time.now() + offset,
    monotonic: () => time.monotonic(),
    after: (ms, callback) => time.after(ms, callback),
    soon: (callback) => time.soon(callback),
  };
  return { clock, time, jump: (ms) => void (offset += ms) };
}

describe("lease", () => {
  it("ends 1 s before its ttl, or a third of a ttl below 3 s", () => {
    assertEquals(margin(20_000), 1_000);
    assertEquals(margin(3_000), 1_000);
    assertEquals(margin(1_500), 500);
    const clock = new VirtualClock();
    assertEquals(left(stamp(clock), stamp(clock), 10_000), 9_000);
  });

  it("counts the time of whichever clock is further on", async () => {
    const { clock, time, jump } = jumpingClock();
    const since = stamp(clock);
    await time.advance(2_000);
    assertEquals(elapsed(clock, since), 2_000);
    jump(5_000);
    assertEquals(elapsed(clock, since), 7_000);
    jump(-60_000);
    assertEquals(elapsed(clock, since), 2_000);
    assertEquals(left(stamp(clock), since, 10_000), 7_000);
  });
});

describe("JumpWatch", () => {
  it("checks leases when the wall clock jumps ahead, or drifts ahead slowly; not otherwise", async () => {
    const { clock, time, jump } = jumpingClock();
    const watch = new JumpWatch(clock);
    let checks = 0;
    const leased = { check: () => void checks++ };
    watch.add(leased);
    await time.advance(10_000);
    assertEquals(checks, 0);
    jump(3_600_000);
    await time.advance(300);
    assertEquals(checks, 1);
    jump(-3_600_000);
    await time.advance(300);
    assertEquals(checks, 1);
    for (let i = 0; i < 12; i++) {
      jump(5);
      await time.advance(250);
    }
    assertEquals(checks, 2);
    watch.delete(leased);
    jump(3_600_000);
    await time.advance(300);
    assertEquals(checks, 2);
  });

  it("a process that stood still checks all leases at its first look, before any renewal is due", () => {
    const state = { now: 1_000, due: [] as (() => void)[] };
    const clock: Clock = {
      now: () => state.now,
      monotonic: () => state.now,
      after(_, callback) {
        state.due.push(callback);
        return { cancel: () => {} };
      },
      soon: (callback) => callback(),
    };
    const fire = (ms: number) => {
      state.now += ms;
      for (const callback of state.due.splice(0)) callback();
    };
    const watch = new JumpWatch(clock);
    let checks = 0;
    watch.add({ check: () => checks++ });
    fire(250);
    assertEquals(checks, 0);
    fire(3_000);
    assertEquals(checks, 1);
    fire(250);
    assertEquals(checks, 1);
  });
});
