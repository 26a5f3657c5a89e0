import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { RECONNECT_GRACE, ReconnectGrace } from "./reconnect_grace.ts";

describe("ReconnectGrace", () => {
  const clock = { now: 0, monotonic: () => clock.now };

  it("does not run before the first reconnect", () => {
    assertEquals(new ReconnectGrace(clock).running, false);
  });

  it("runs for 2.5 s from a reconnect, and 2.5 s from the next one", () => {
    const grace = new ReconnectGrace(clock);
    grace.begin();
    clock.now += RECONNECT_GRACE - 1;
    const beforeTheEnd = grace.running;
    grace.begin();
    clock.now += RECONNECT_GRACE - 1;
    const afterTheSecond = grace.running;
    clock.now += 1;
    assertEquals({ beforeTheEnd, afterTheSecond, atTheEnd: grace.running }, {
      beforeTheEnd: true,
      afterTheSecond: true,
      atTheEnd: false,
    });
  });
});
