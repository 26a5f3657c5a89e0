import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Lateness, refuseLate } from "./lateness.ts";

describe("Lateness", () => {
  it("is 0 for the first message, whatever the clocks say", () => {
    assertEquals(new Lateness().note(5_000_000, 1_000), 0);
  });

  it("is what a message takes longer than the fastest one", () => {
    const lateness = new Lateness();
    lateness.note(1_000, 11_005);
    lateness.note(1_010, 11_012); // this message is the fastest, with a difference of 10,002 ms
    assert(Math.abs(lateness.note(1_020, 19_022) - 8_000) < 10);
  });

  it("does not count the drift of two clocks: 500 ppm over a day", () => {
    const lateness = new Lateness();
    for (let second = 0; second < 86_400; second++) {
      assertEquals(lateness.note(second * 1_000, 7 + second * 1_000.5), 0);
    }
  });

  it("is measured after a long silence, too", () => {
    const lateness = new Lateness();
    lateness.note(0, 3);
    assert(Math.abs(lateness.note(60_000, 69_003) - 9_000) < 100);
  });

  it("recovers when the sender's clock stood still for an hour (its frames were refused until it restarted)", () => {
    const lateness = new Lateness();
    for (let ms = 0; ms < 40_000; ms += 100) lateness.note(ms, ms + 5);
    const hour = 3_600_000;
    assert(lateness.note(40_000, 40_005 + hour) > hour - 4_000);
    let refused = 0;
    for (let ms = 40_000; ms < 120_000; ms += 100) if (lateness.note(ms, ms + 5 + hour) > 100) refused++;
    assert(refused > 100 && refused < 610, `${refused} refused: 30 to 60 s of them`);
  });

  it("is not changed for long by a forged message from the future", () => {
    const lateness = new Lateness();
    lateness.note(1_000, 1_005);
    lateness.note(90_000_000, 1_010);
    assert(lateness.note(1_020, 1_025) > 1_000_000);
    for (let ms = 2_000; ms < 70_000; ms += 100) lateness.note(ms, ms + 5);
    assertEquals(lateness.note(70_000, 70_005), 0);
  });
});

describe("refuseLate", () => {
  it("refuses a request that has no time left, and one whose time is no number", () => {
    const refused: unknown[] = [];
    const sender = { refuse: (...refusal: unknown[]) => void refused.push(refusal) };
    assertEquals([1, 0.5, 0, -7, -Infinity, NaN].map((ttl, i) => refuseLate(sender, 3, i, ttl)), [
      ...[false, false, true, true, true, true],
    ]);
    assertEquals(refused, [2, 3, 4, 5].map((index) => [3, index, "LATE"]));
  });
});
