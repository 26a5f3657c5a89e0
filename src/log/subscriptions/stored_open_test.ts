import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { OpenEntry } from "../format/open_positions.ts";
import { StoredOpen } from "./stored_open.ts";

const entries = (...positions: number[]): OpenEntry[] => positions.map((position) => [position, 1, 0]);

describe("StoredOpen", () => {
  it("lets pass at once what the record does not call open", async () => {
    const open = new StoredOpen({ clock: new VirtualClock(), entries: entries(1_024), record: unexpected });
    await open.left(2_048);
  });

  it("waits for a record without the message: one for all that wait", async () => {
    const clock = new VirtualClock();
    let records = 0;
    const open = new StoredOpen({
      clock,
      entries: entries(1_024, 2_048, 3_072),
      record: async () => {
        await delayed(clock);
        // the first write fails, the second is made before the messages have ended
        if (++records > 1) open.stored(records === 2 ? entries(1_024, 2_048) : entries(9_216));
        return records > 1;
      },
    });
    const left: number[] = [];
    const wait = [1_024, 2_048, 3_072].map((each) => open.left(each).then(() => left.push(each)));
    await clock.advance(100);
    assertEquals([records, left], [2, [3_072]]);
    await clock.until(Promise.all(wait));
    assertEquals(records, 3);
  });

  it("waits no longer when it is closed", async () => {
    const clock = new VirtualClock();
    const open = new StoredOpen({ clock, entries: entries(1_024), record: () => Promise.resolve(false) });
    const wait = open.left(1_024);
    await clock.advance(1_000);
    open.close();
    await clock.until(wait);
  });
});

function unexpected(): Promise<boolean> {
  throw new Error("no record is to be written");
}

function delayed(clock: VirtualClock): Promise<void> {
  return new Promise((resolve) => clock.after(20, resolve));
}
