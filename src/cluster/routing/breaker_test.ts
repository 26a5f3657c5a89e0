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

  it("an answer in between begins the count anew", () => {
    const { breaker } = make(2);
    breaker.failed();
    breaker.succeeded();
    breaker.failed();
    assertEquals(breaker.state, "closed");
  });

  it("lets one trial through after the cooldown, and closes when it succeeds", async () => {
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

  it("a failure while open changes nothing, and does not make it stay open longer", async () => {
    const { breaker, clock, moves } = make(1, 1_000);
    breaker.failed();
    await clock.advance(600);
    breaker.failed();
    await clock.advance(400);
    assertEquals([breaker.allows, moves], [true, ["open", "half-open"]]);
  });

  it("a trial whose end is never told does not shut the way for ever", async () => {
    const { breaker, clock } = make(1, 1_000);
    breaker.failed();
    await clock.advance(1_000);
    assertEquals(breaker.allows, true);
    breaker.sent();
    await clock.advance(1_000);
    assertEquals(breaker.allows, true);
  });
});
