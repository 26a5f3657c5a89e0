import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { persist } from "./persist.ts";

describe("persist", () => {
  it("tries again until the action succeeds, and reports each failure", async () => {
    const clock = new VirtualClock();
    const faults: unknown[] = [];
    let tries = 0;
    const action = () => ++tries < 4 ? Promise.reject(new Error(`${tries}`)) : Promise.resolve();
    await clock.until(persist(clock, new AbortController().signal, action, (error) => faults.push(String(error))));
    assertEquals(faults, ["Error: 1", "Error: 2", "Error: 3"]);
  });

  it("rejects with the signal's reason when that aborts", async () => {
    const clock = new VirtualClock();
    const end = new AbortController();
    const tried = persist(clock, end.signal, () => Promise.reject(new Error("no")), () => end.abort(new Error("over")));
    await assertRejects(() => clock.until(tried), Error, "over");
  });
});
