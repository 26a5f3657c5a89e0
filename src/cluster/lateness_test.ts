import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Lateness } from "./lateness.ts";

describe("Lateness", () => {
  it("is nothing for the first message, whatever the clocks say", () => {
    assertEquals(new Lateness().note(5_000_000, 1_000), 0);
  });

  it("is what a message exceeds the shortest way by", () => {
    const lateness = new Lateness();
    lateness.note(1_000, 11_005);
    lateness.note(1_010, 11_012); // the shortest way: a difference of 10,002
    assert(Math.abs(lateness.note(1_020, 19_022) - 8_000) < 10);
  });

  it("does not take the drift of two clocks for lateness: 500 ppm over a day", () => {
    const lateness = new Lateness();
    for (let second = 0; second < 86_400; second++) {
      assertEquals(lateness.note(second * 1_000, 7 + second * 1_000.5), 0);
    }
  });

  it("tells lateness after a long silence too", () => {
    const lateness = new Lateness();
    lateness.note(0, 3);
    assert(Math.abs(lateness.note(60_000, 69_003) - 9_000) < 100);
  });
});
