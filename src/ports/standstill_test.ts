import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { RunningTime, Standstill, stoodStill } from "./standstill.ts";

describe("Standstill", () => {
  it("is none while timers run on time", async () => {
    const clock = new VirtualClock();
    const standstill = new Standstill(clock, 2_000);
    await clock.advance(60_000);
    assertEquals(standstill.ended, -Infinity);
  });

  it("ends when it is noticed, by who asks before any timer has run, or by a timer", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock });
    const process = network.connect({ name: "a" });
    const standstill = new Standstill(process.clock, 2_000);
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
    const standstill = new Standstill(suspended, 2_000);
    await clock.advance(1_000);
    slept = 60_000;
    assertEquals(standstill.ended, clock.monotonic());
    assertEquals(standstill.explain(), 0, "the event loop has not stood");
  });
});

describe("RunningTime", () => {
  const paused = () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock });
    let used = 0;
    const own = network.connect({ name: "a" }).clock;
    const time = new RunningTime(own, () => used);
    const pause = async (ms: number, working = 0) => {
      network.pause("a");
      used += working;
      await clock.advance(ms);
    };
    return { clock, time, pause, resume: () => network.resume("a"), now: () => time.at(clock.monotonic()) };
  };

  it("leaves out a pause, whether it is asked before its timer or not, and each only once", async () => {
    for (const asks of [true, false]) {
      const { clock, time, pause, resume, now } = paused();
      time.hold(0);
      await clock.advance(1_000);
      for (let n = 1; n <= 3; n++) {
        await pause(5_000);
        if (asks) assertEquals(now(), 1_250 * n);
        resume();
        await clock.advance(1_000);
        assertEquals(now(), 1_250 * n + 1_000);
      }
    }
  });

  it("leaves out nothing while timers run on time, nor a pause of less than 250 ms", async () => {
    const { clock, time, pause, resume, now } = paused();
    time.hold(0);
    await clock.advance(60_000);
    await pause(499);
    assertEquals(now(), 60_499);
    resume();
    await clock.advance(1_000);
    assertEquals(now(), 61_499);
  });

  it("counts a computation that blocks the event loop", async () => {
    const { clock, time, pause, resume, now } = paused();
    time.hold(0);
    await clock.advance(1_000);
    await pause(5_000, 4_000);
    assertEquals(now(), 6_000);
    resume();
    await clock.advance(1_000);
    assertEquals(now(), 7_000);
  });

  it("sets no timer while nobody holds it", async () => {
    const clock = new VirtualClock();
    const time = new RunningTime(clock);
    assertEquals(clock.timers, 0);
    time.hold(0);
    time.hold(0);
    time.release();
    await clock.advance(1_000);
    assertEquals(clock.timers, 1);
    time.release();
    await clock.advance(250);
    assertEquals(clock.timers, 0);
    time.hold(clock.monotonic());
    assertEquals(clock.timers, 1);
  });
});

describe("stoodStill", () => {
  it("is true for a timer that fires 250 ms or more after its time", () => {
    assertEquals([0, 249, 250, 5_000].map((late) => stoodStill(1_000 + late, 1_000)), [false, false, true, true]);
  });
});
