import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Clock } from "../../ports/clock.ts";
import { JumpWatch } from "./lease.ts";

describe("JumpWatch", () => {
  /** A clock whose one timer fires when the test says so. */
  function stillClock() {
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
    return { clock, fire };
  }

  it("a process that stood still checks all leases at its first look, before any renewal is due", () => {
    const { clock, fire } = stillClock();
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
