import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Category } from "./categories.ts";
import { Item } from "./item.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";
import { Waiting } from "./handing_out.ts";

const SUBSCRIPTION = { service: "shop", name: "billing" };
const CATEGORY = new Category(SUBSCRIPTION, "Placed", DEFAULT_SETTINGS, { floor: 0, timeout: 1_000 });
const MESSAGE = { position: 1, category: "Placed", id: "1", key: undefined, payload: 0, tagged: false, time: 0 };

describe("Waiting", () => {
  it("calls back when a message is due, and no more when it is closed", async () => {
    const clock = new VirtualClock();
    const due: Item[] = [];
    const waiting = new Waiting(clock, (item) => due.push(item));
    const [one, two] = [1, 2].map(() => new Item({ ...MESSAGE, meta: undefined }, CATEGORY, 0, 0));
    waiting.add(one, 100);
    waiting.add(two, 200);
    await clock.advance(150);
    assertEquals([due, waiting.size], [[one], 1]);
    waiting.close();
    await clock.advance(150);
    assertEquals([due.length, waiting.size], [1, 0]);
  });
});
