import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, MemoryNetwork, VirtualClock } from "../../mod.ts";

describe("drain", () => {
  it("timeout: bounds the wait for a store that does not answer, too", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const silent = () => {};
    const logger = { debug: silent, info: silent, warn: silent, error: silent };
    const app = await clock.until(catga({ network, id: "a", logger }));
    network.faults = { lostAck: 1 };
    const began = clock.monotonic();
    await clock.until(app.drain({ timeout: 1_000 }));
    assertEquals(clock.monotonic() - began, 1_000);
  });
});
