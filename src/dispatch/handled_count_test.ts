import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Observation } from "../contract/nodes/observer.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { HandledCount } from "./handled_count.ts";

describe("HandledCount", () => {
  it("observes once a second how many of each contract were handled, and nothing when none were", async () => {
    const { clock, seen, count } = start();
    for (const contract of ["Booked", "Booked", "Paid"]) count.add(contract);
    assertEquals(seen, []);
    await clock.advance(1_000);
    assertEquals(seen.splice(0), [
      { type: "handled", subscription: "shop/billing", contract: "Booked", count: 2 },
      { type: "handled", subscription: "shop/billing", contract: "Paid", count: 1 },
    ]);
    await clock.advance(5_000);
    assertEquals(seen, []);
    count.add("Booked");
    count.flush();
    await clock.advance(1_000);
    assertEquals(seen, [{ type: "handled", subscription: "shop/billing", contract: "Booked", count: 1 }]);
  });

  it("observes nothing while nobody looks", async () => {
    const { clock, seen, count } = start(false);
    count.add("Booked");
    await clock.advance(1_000);
    assertEquals(seen, []);
  });
});

function start(watched = true) {
  const clock = new VirtualClock();
  const seen: Observation[] = [];
  const observer = (observation: Observation) => void seen.push(observation);
  return { clock, seen, count: new HandledCount({ clock, observer, hooks: { watched } }, "shop/billing") };
}
