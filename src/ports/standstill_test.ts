import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { Standstill, stoodStill } from "./standstill.ts";

describe("Standstill", () => {
  it("is none while timers run on time", async () => {
    const clock = new VirtualClock();
    const standstill = new Standstill(clock, 2_000, () => false);
    await clock.advance(60_000);
    assertEquals(standstill.ended, -Infinity);
  });

  it("ends when it is noticed, by who asks before any timer has run, or by a timer", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock });
    const process = network.connect({ name: "a" });
    const standstill = new Standstill(process.clock, 2_000, () => false);
    await clock.advance(1_000);
    network.pause("a");
    await clock.advance(5_000);
    const asked = process.clock.monotonic();
    assertEquals(standstill.ended, asked);
    await clock.advance(5_000);
    network.resume("a");
    await clock.advance(10_000);
    assertEquals(standstill.ended - asked, 5_000);
  });

  it("is noticed by the wall clock when the monotonic one stood still, too", async () => {
    const clock = new VirtualClock();
    let slept = 0;
    const suspended = {
      now: () => clock.now() + slept,
      monotonic: () => clock.monotonic(),
      after: clock.after.bind(clock),
      soon: clock.soon.bind(clock),
    };
    const standstill = new Standstill(suspended, 2_000, () => false);
    await clock.advance(1_000);
    slept = 60_000;
    assertEquals(standstill.ended, clock.monotonic());
  });
});

describe("stoodStill", () => {
  it("is true for a timer that fires 250 ms or more after its time", () => {
    assertEquals([0, 249, 250, 5_000].map((late) => stoodStill(1_000 + late, 1_000)), [false, false, true, true]);
  });
});
