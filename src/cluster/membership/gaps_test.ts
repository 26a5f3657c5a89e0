import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Gaps, MAX_GAPS, REMEMBERED } from "./gaps.ts";

describe("Gaps", () => {
  it("a contract that nobody handles any more is remembered for 5 minutes", async () => {
    const clock = new VirtualClock();
    const gaps = new Gaps(clock);
    gaps.open("Price");
    assertEquals([gaps.left("Price"), gaps.left("Other")], [300_000, 0]);
    await clock.advance(REMEMBERED - 1);
    assertEquals(gaps.left("Price"), 1);
    await clock.advance(1);
    assertEquals(gaps.left("Price"), 0);
  });

  it("what another node reports is remembered for no longer than there", () => {
    const gaps = new Gaps(new VirtualClock());
    gaps.learn("Price", 1_000);
    gaps.learn("Forged", Number.MAX_SAFE_INTEGER);
    assertEquals([gaps.left("Price"), gaps.left("Forged")], [1_000, REMEMBERED]);
  });

  it("of too many names the oldest is forgotten", () => {
    const gaps = new Gaps(new VirtualClock());
    for (let i = 0; i < MAX_GAPS; i++) gaps.open(`Name${i}`);
    gaps.open("Name0"); // the gap of Name0 is opened a second time, so that it is the newest
    gaps.open("One.more");
    assertEquals(["Name0", "Name1", "Name2", "One.more"].map((name) => gaps.left(name) > 0), [true, false, true, true]);
  });
});
