import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { describe, it } from "node:test";
import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { gapWithin, type LoopGap, LoopGaps } from "./loop_gaps.ts";

describe("gaps of an event loop", () => {
  it("a blocked loop has a gap, marked as computed", async () => {
    const gaps: LoopGap[] = [];
    using loop = new LoopGaps((gap) => gaps.push(gap));
    await wait(30);
    gaps.length = 0; // of a busy machine
    const [until, cpu] = [performance.now() + 300, process.cpuUsage()];
    // a busy machine lets it compute only now and then
    for (let computed = 0; performance.now() < until || computed < 100_000;) {
      const { user, system } = process.cpuUsage(cpu);
      computed = user + system;
    }
    loop.beat(); // before any timer
    const [gap] = gaps;
    assertGreaterOrEqual(gap.to - gap.from, 290);
    assertGreaterOrEqual(gap.busy, 50);
  });

  it("gaps that follow each other leave no time out between them", () => {
    const gaps: LoopGap[] = [];
    using loop = new LoopGaps((gap) => gaps.push(gap));
    for (let i = 0; i < 3; i++) {
      for (const until = performance.now() + 60; performance.now() < until;);
      loop.beat();
    }
    assertEquals(gaps.map(({ from }) => from).slice(1), gaps.map(({ to }) => to).slice(0, -1));
  });

  it("time in overlapping gaps is counted once, within the span asked for", () => {
    const gaps = [{ from: 100, to: 200 }, { from: 300, to: 500 }, { from: 900, to: 901 }];
    assertEquals(gapWithin(gaps, 150, 400), 150);
    assertEquals(gapWithin(gaps, 200, 300), 0);
    assertEquals(gapWithin([...gaps, { from: 90, to: 310 }, { from: 350, to: 360 }], 0, 1_000), 411);
  });
});
