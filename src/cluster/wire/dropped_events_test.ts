import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Observation } from "../../contract/observer.ts";
import { DroppedEvents } from "./dropped_events.ts";

/**
 * Makes a counter of dropped events. `told`: the reports that it made, each with the ms since the start, the contract
 * and the number of events.
 */
function counting() {
  const clock = new VirtualClock();
  const start = clock.monotonic();
  const told: [ms: number, contract: string, count: number][] = [];
  const dropped = new DroppedEvents(clock, (seen: Observation) => {
    if (seen.type === "event-dropped") told.push([clock.monotonic() - start, seen.contract, seen.count]);
  });
  const add = (contract: string, times: number) => {
    for (let i = 0; i < times; i++) dropped.add(contract);
  };
  return { clock, told, dropped, add };
}

describe("DroppedEvents", () => {
  it("reports the first at once, and the others of that minute at its end (a line for each filled the log)", async () => {
    const { clock, told, add } = counting();
    add("Moved", 1_000);
    assertEquals(told, [[0, "Moved", 1]]);
    await clock.advance(59_999);
    add("Moved", 1);
    assertEquals(told.length, 1);
    await clock.advance(1);
    assertEquals(told, [[0, "Moved", 1], [60_000, "Moved", 1_000]]);
  });

  it("reports minute by minute, and the next at once after a minute without any", async () => {
    const { clock, told, add } = counting();
    for (let minute = 0; minute < 3; minute++) {
      add("Moved", 5);
      await clock.advance(60_000);
    }
    assertEquals(told, [[0, "Moved", 1], [60_000, "Moved", 4], [120_000, "Moved", 5], [180_000, "Moved", 5]]);
    await clock.advance(90_000);
    add("Moved", 2);
    await clock.advance(600_000);
    assertEquals(told.slice(4), [[270_000, "Moved", 1], [330_000, "Moved", 1]]);
  });

  it("counts the minute of each contract by itself", async () => {
    const { clock, told, add } = counting();
    add("Moved", 2);
    await clock.advance(30_000);
    add("Seen", 3);
    await clock.advance(60_000);
    assertEquals(told, [[0, "Moved", 1], [30_000, "Seen", 1], [60_000, "Moved", 1], [90_000, "Seen", 2]]);
  });

  it("report() reports the rest, once", async () => {
    const { clock, told, dropped, add } = counting();
    add("Moved", 3);
    add("Seen", 1);
    dropped.report();
    dropped.report();
    await clock.advance(120_000);
    assertEquals(told, [[0, "Moved", 1], [0, "Seen", 1], [0, "Moved", 2]]);
  });
});
