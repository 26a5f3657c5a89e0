import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Lines } from "./lines.ts";
import { message } from "./parking_suite.ts";
import { ReadyEntries } from "./ready_entries.ts";

describe("ReadyEntries", () => {
  it("large entries are read 16 ahead, not all that are due; one that cannot be read is reported", async () => {
    const clock = new VirtualClock();
    let [asked, ready] = [0, 0];
    const faults: unknown[] = [];
    const lines = new Lines(clock, () => entries.refresh());
    const entries: ReadyEntries = new ReadyEntries({
      lines,
      read: ({ position }) => {
        asked++;
        if (position === 3) return Promise.reject(new Error("broken"));
        return Promise.resolve(
          position === 2
            ? undefined
            : { token: 1, message: message(position), attempts: 0, error: undefined, due: 0, dead: 0 },
        );
      },
      onReady: () => void ready++,
      fault: (error) => void faults.push(error),
    });
    for (let position = 0; position < 100; position++) {
      lines.settle(lines.add({ position, category: "A", key: undefined, time: 0 }), { dead: false, due: 0 });
    }
    assertEquals([asked, entries.next()], [0, undefined]); // not open
    entries.open();
    await clock.advance(0);
    // two of them are passed over
    assertEquals([asked, ready > 0, faults.map(String)], [18, true, ["Error: broken"]]);
    const positions: number[] = [];
    for (let entry = entries.next(); positions.length < 98; entry = entries.next()) {
      if (entry === undefined) await clock.advance(0);
      else positions.push(entry.message.position);
    }
    assertEquals(positions, Array.from({ length: 100 }, (_, i) => i).filter((i) => i !== 2 && i !== 3));
  });
});
