import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { TurnBudget } from "./turn_budget.ts";

/**
 * A virtual clock on which handlers take time within a turn of the event loop (`busy`), and which counts how often it
 * is read.
 */
class BusyClock extends VirtualClock {
  busy = 0;
  readings = 0;

  override monotonic(): number {
    this.readings++;
    return super.monotonic() + this.busy;
  }
}

describe("TurnBudget", () => {
  it("is used up when handlers have taken more than 5 ms of a turn, and new in the next turn", async () => {
    const clock = new BusyClock();
    const budget = new TurnBudget(clock);
    budget.spent();
    clock.busy = 5;
    budget.spent();
    assertEquals(budget.over, false);
    clock.busy = 5.5;
    budget.spent();
    assertEquals(budget.over, true);
    await clock.advance(0);
    assertEquals(budget.over, false);
  });

  it("calls back in the next turn, in order, and once", async () => {
    const clock = new BusyClock();
    const budget = new TurnBudget(clock);
    const called: string[] = [];
    for (let turn = 0; turn < 2; turn++) {
      budget.spent();
      clock.busy += 6;
      budget.spent();
      if (turn === 0) { for (const name of ["a", "b"]) budget.nextTurn(() => called.push(name)); }
      await clock.advance(0);
      assertEquals(called, ["a", "b"]);
    }
  });

  it("reads the clock less often the faster handlers are, every 16 handlers at least", () => {
    const clock = new BusyClock();
    const budget = new TurnBudget(clock);
    for (let handler = 0; handler < 1_000; handler++) budget.spent();
    const fast = clock.readings;
    for (let handler = 0; handler < 1_600; handler++) budget.spent();
    assertEquals(clock.readings - fast, 100);
  });

  it("reads the clock after every handler while handlers are slow", () => {
    const clock = new BusyClock();
    const budget = new TurnBudget(clock);
    budget.spent();
    const before = clock.readings;
    for (let handler = 0; handler < 20; handler++) {
      clock.busy += 0.1;
      budget.spent();
    }
    assertEquals(clock.readings - before, 20);
  });
});
