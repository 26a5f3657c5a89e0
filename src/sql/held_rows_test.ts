import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { HeldRows } from "./held_rows.ts";
import type { OutboxRow } from "./relay_plan.ts";

const ROW: OutboxRow = { n: "1", kind: "event", contract: "E", key: "k", id: "1", body: "1", head: "{}" };

describe("rows that are held", () => {
  it("are held on if their pause ends while a look that leaves them out is under way (it began anew)", async () => {
    const clock = new VirtualClock();
    const held = new HeldRows(clock, 100);
    held.fail(ROW, "away", 0, 10_000);
    await clock.advance(95);
    const leftOut = held.leftOut([]);
    await clock.advance(10);
    held.found([], leftOut);
    assertEquals([held.why, held.has(ROW), held.isWaiting(ROW)], ["away", true, false]);
    held.fail(ROW, "away", 0, 10_000);
    assertEquals(held.pause, 200);
    // a look at all of the outbox has found none of them: somebody has deleted them
    await clock.advance(200);
    held.found([], held.leftOut([]));
    assertEquals([held.why, held.has(ROW)], [undefined, false]);
  });

  it("wait longer by each attempt, however many of them an attempt has sent (the pause doubled with each)", async () => {
    const clock = new VirtualClock();
    const held = new HeldRows(clock, 100);
    const pauses: number[] = [];
    for (let attempt = 0; attempt < 3; attempt++) {
      for (let row = 0; row < 8; row++) held.fail(ROW, "away", 0, 10_000);
      pauses.push(held.pause);
      await clock.advance(held.pause);
    }
    assertEquals(pauses, [100, 200, 400]);
  });
});
