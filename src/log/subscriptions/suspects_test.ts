import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Category, OpenItem } from "./category.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";
import { Suspects } from "./suspects.ts";

const SUBSCRIPTION = { service: "shop", name: "billing" };
const CATEGORY = new Category(SUBSCRIPTION, "Placed", DEFAULT_SETTINGS, { floor: 0, timeout: 1_000 });

function items(count: number): OpenItem[] {
  return Array.from({ length: count }, (_, position) => {
    const message = { position, category: "Placed", id: `${position}`, payload: 0, tagged: false, time: 0 };
    return new OpenItem({ ...message, key: undefined, meta: undefined }, CATEGORY, 0);
  });
}

describe("Suspects", () => {
  it("run alone, one after the other: an outcome ends a turn, or a moment without one", async () => {
    const clock = new VirtualClock();
    const [one, two, other] = items(3);
    let turns = 0;
    const suspects = new Suspects(clock, new Set([one, two]), () => turns++);
    suspects.begin();
    assertEquals([other, one, two, other].map((item) => suspects.admits(item)), [false, true, false, false]);
    suspects.sent(one);
    suspects.over(one);
    assertEquals([turns, suspects.left, suspects.careful], [1, 1, true]);
    assertEquals([one, other, two].map((item) => suspects.admits(item)), [false, false, true]);
    suspects.sent(two);
    await clock.advance(499);
    assertEquals(turns, 1);
    await clock.advance(1);
    assertEquals([turns, suspects.left, suspects.tried()], [2, 1, true]);
    assertEquals([suspects.careful, suspects.admits(other)], [false, true]);
    suspects.over(two);
    assertEquals([turns, suspects.left], [2, 0]);
  });

  it("take 3 s altogether when there are hundreds of slow ones", async () => {
    const clock = new VirtualClock();
    const all = items(256);
    let turns = 0;
    const suspects = new Suspects(clock, new Set(all), () => turns++);
    suspects.begin();
    for (const item of all) {
      assertEquals(suspects.admits(item), true);
      suspects.sent(item);
      const before = turns;
      while (turns === before) await clock.advance(1);
    }
    assertEquals(clock.monotonic() <= 3_000, true);
    suspects.close();
  });

  it("that cannot begin keep nobody waiting", () => {
    const [one, other] = items(2);
    const suspects = new Suspects(new VirtualClock(), new Set([one]), () => {});
    suspects.begin();
    assertEquals(suspects.admits(other), false);
    assertEquals([suspects.tried(), suspects.admits(other), suspects.tried()], [true, true, false]);
  });

  it("whose attempt could not be recorded have another turn", () => {
    const [one] = items(1);
    const suspects = new Suspects(new VirtualClock(), new Set([one]), () => {});
    suspects.begin();
    assertEquals(suspects.admits(one), true);
    suspects.back(one);
    assertEquals(suspects.admits(one), true);
  });
});
