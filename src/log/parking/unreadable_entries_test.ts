import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { UnreadableEntries } from "./unreadable_entries.ts";

describe("UnreadableEntries", () => {
  it("reports the first at once and the others with the next a minute later, on one line without hidden characters", async () => {
    const clock = new VirtualClock();
    const reports: string[] = [];
    const unreadable = new UnreadableEntries(clock, (error) => void reports.push((error as Error).message));
    for (let i = 0; i < 10; i++) unreadable.report(`a\n${i}`, "no JSON");
    await clock.advance(60_000);
    unreadable.report("b", "no object");
    assertEquals(reports, [
      "what is parked under a\\u{a}0 cannot be read (no JSON): it is left alone",
      "what is parked under b cannot be read (no object), and 9 others: it is left alone",
    ]);
  });
});
