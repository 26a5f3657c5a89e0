import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Breaker, type BreakerState } from "./breaker.ts";

function make(failures = 3, cooldown = 1_000) {
  const clock = new VirtualClock();
  const moves: BreakerState[] = [];
  return { clock, moves, breaker: new Breaker({ failures, cooldown }, clock, (state) => moves.push(state)) };
}

describe("Breaker", () => {
  it("opens after so many failures in a row, not before", () => {
    const { breaker, moves } = make(3);
    breaker.failed();
    breaker.failed();
    assertEquals(breaker.allows, true);
    breaker.failed();
    assertEquals([breaker.allows, moves], [false, ["open"]]);
  });

  it("an answer in between resets the count", () => {
    const { breaker } = make(2);
    breaker.failed();
    breaker.succeeded();
    breaker.failed();
    assertEquals(breaker.state, "closed");
  });

  it("is half-open after the cooldown: allows one trial, and closes when it succeeds", async () => {
    const { breaker, clock, moves } = make(1, 1_000);
    breaker.failed();
    await clock.advance(999);
    assertEquals(breaker.allows, false);
    await clock.advance(1);
    assertEquals(breaker.allows, true);
    breaker.sent();
    assertEquals(breaker.allows, false);
    breaker.succeeded();
    assertEquals([breaker.allows, moves], [true, ["open", "half-open", "closed"]]);
  });

  it("opens for another cooldown when the trial fails", async () => {
    const { breaker, clock } = make(1, 1_000);
    breaker.failed();
    await clock.advance(1_000);
    assertEquals(breaker.allows, true);
    breaker.sent();
    breaker.failed();
    assertEquals(breaker.state, "open");
    await clock.advance(999);
    assertEquals(breaker.allows, false);
    await clock.advance(1);
    assertEquals(breaker.allows, true);
  });

  it("does not stay open longer for a failure while it is open", async () => {
    const { breaker, clock, moves } = make(1, 1_000);
    breaker.failed();
    await clock.advance(600);
    breaker.failed();
    await clock.advance(400);
    assertEquals([breaker.allows, moves], [true, ["open", "half-open"]]);
  });

  it("allows another trial when the end of the first is never reported", async () => {
    const { breaker, clock } = make(1, 1_000);
    breaker.failed();
    await clock.advance(1_000);
    assertEquals(breaker.allows, true);
    breaker.sent();
    await clock.advance(1_000);
    assertEquals(breaker.allows, true);
  });
});
