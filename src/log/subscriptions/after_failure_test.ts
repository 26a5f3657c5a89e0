import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { afterFailure } from "./after_failure.ts";
import { Category, Item } from "./category.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const CATEGORY = new Category(
  { service: "shop", name: "billing" },
  "Placed",
  { ...DEFAULT_SETTINGS, attempts: 3, delay: [1, 1] },
  1_000,
);
const RETRY = { attempts: 3, delay: [1_000, 300_000] } as const;
const ENDS = { final: false };
const NOW = { now: 10_000, random: () => 1 };

function failed(attempts: number, over: Partial<Item> = {}): Item {
  const message = { position: 1, category: "Placed", id: "a", key: undefined, payload: 0, tagged: false, time: 1 };
  return Object.assign(new Item({ ...message, meta: undefined }, CATEGORY, attempts, 0), over);
}

describe("afterFailure", () => {
  it("a message that failed for the last time, or for good, is a dead letter", () => {
    assertEquals(afterFailure(failed(2), ENDS, RETRY, NOW), { type: "dead letter" });
    assertEquals(afterFailure(failed(0), { final: true }, RETRY, NOW), { type: "dead letter" });
  });

  it("waits in memory while that takes 5 s at most; else it is parked", () => {
    assertEquals(afterFailure(failed(0), ENDS, RETRY, NOW), { type: "waits", pause: 1_000 });
    assertEquals(afterFailure(failed(1, { failedAt: 7_000 }), ENDS, RETRY, NOW), { type: "waits", pause: 2_000 });
    assertEquals(afterFailure(failed(1, { failedAt: 6_999 }), ENDS, RETRY, NOW), { type: "parked", pause: 2_000 });
    assertEquals(afterFailure(failed(0, { place: "parked" }), ENDS, RETRY, NOW), { type: "parked", pause: 1_000 });
  });

  it("a time that the handler has named is the pause, as long as the failure counts as no attempt", () => {
    const named = { final: false, outage: 60_000, retryAfter: 3_000 };
    assertEquals(afterFailure(failed(2), named, RETRY, { ...NOW, lasted: 0 }), {
      ...{ type: "waits", pause: 3_000, outage: true },
    });
    assertEquals(afterFailure(failed(2), named, RETRY, { ...NOW, lasted: 60_000 }), { type: "dead letter" });
  });

  it("the pause is drawn from 0 to a limit that doubles up to the longest", () => {
    const many = { ...RETRY, attempts: 10_000 };
    const pause = (attempts: number, drawn: number) => {
      const after = afterFailure(failed(attempts), ENDS, many, { ...NOW, random: () => drawn });
      return after.type === "dead letter" ? undefined : after.pause;
    };
    assertEquals([0, 1, 2, 9, 5_000].map((attempts) => pause(attempts, 1)), [1_000, 2_000, 4_000, 300_000, 300_000]);
    assertEquals([pause(2, 0.25), pause(2, 0)], [1_000, 0]);
  });
});
