import { describe, it } from "node:test";
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { FaultSource } from "./faults.ts";
import { seededRandom } from "./seeded_random.ts";
import { OutageSchedule } from "./outage_schedule.ts";
import { VirtualClock } from "./virtual_clock.ts";

/**
 * Makes a schedule of outages for one connection, and records the times at which the connection is cut and restored.
 */
function setUp() {
  const clock = new VirtualClock();
  const source = new FaultSource(seededRandom(7));
  const schedule = new OutageSchedule(clock, source, { begin() {}, end() {} });
  const cuts: number[] = [];
  const restored: number[] = [];
  const victim = {
    cut: () => cuts.push(clock.monotonic()),
    restore: () => restored.push(clock.monotonic()),
    pause: () => {},
    resume: () => {},
  };
  schedule.add(victim);
  return { clock, source, schedule, victim, cuts, restored };
}

describe("OutageSchedule", () => {
  it("cuts come at the mean interval, and last no longer than the faults say", async () => {
    const { clock, source, schedule, cuts, restored } = setUp();
    source.faults = { cut: { every: 1_000, lasts: 100 } };
    schedule.refresh();
    await clock.advance(500_000);
    assertGreater(cuts.length, 350);
    assertLess(cuts.length, 650);
    restored.forEach((at, i) => assertLess(at - cuts[i], 100));
  });

  it("after a change of the faults an outage that has begun ends, and no other begins", async () => {
    const { clock, source, schedule, cuts, restored } = setUp();
    source.faults = { cut: { every: 1_000, lasts: 10_000 } };
    schedule.refresh();
    while (cuts.length === restored.length) await clock.advance(100);
    source.faults = {};
    schedule.refresh();
    const begun = cuts.length;
    await clock.advance(100_000);
    assertEquals([cuts.length, restored.length], [begun, begun]);
    assertEquals(clock.timers, 0);
  });

  it("a connection that was deleted is not cut again", async () => {
    const { clock, source, schedule, victim, cuts } = setUp();
    source.faults = { cut: { every: 1_000, lasts: 100 } };
    schedule.refresh();
    schedule.delete(victim);
    await clock.advance(100_000);
    assertEquals(cuts, []);
    assertEquals([...schedule.victims], []);
  });
});
