import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { MemoryProcess } from "./memory_process.ts";
import { VirtualClock } from "./virtual_clock.ts";

describe("MemoryProcess", () => {
  it("delays timers and arrivals while it is frozen, and a cancelled timer never fires", async () => {
    const clock = new VirtualClock();
    const process = new MemoryProcess(clock, () => 0.9); // with 0.9 a process that resumes takes arrivals before timers
    const seen: string[] = [];
    process.clock.after(10, () => seen.push("timer"));
    const cancelled = process.clock.after(20, () => seen.push("cancelled"));
    process.pause();
    process.enter(() => seen.push("arrival"));
    await clock.advance(100);
    assertEquals(seen, []);
    cancelled.cancel();
    process.resume();
    await clock.advance(0);
    assertEquals(seen, ["arrival", "timer"]);
  });

  it("runs nothing once it is dead, though it was frozen and goes on", async () => {
    const clock = new VirtualClock();
    const process = new MemoryProcess(clock, () => 0);
    const seen: string[] = [];
    process.pause();
    process.enter(() => seen.push("arrival"));
    process.clock.after(10, () => seen.push("timer"));
    process.kill();
    process.resume();
    process.enter(() => seen.push("later"));
    await clock.advance(100);
    assertEquals(seen, []);
    assertEquals([process.running, process.dead], [false, true]);
  });
});
