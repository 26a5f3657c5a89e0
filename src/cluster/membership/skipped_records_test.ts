import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Observation } from "../../contract/observer.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { SkippedRecords } from "./skipped_records.ts";

describe("SkippedRecords", () => {
  it("reports the first at once, and those of the next minute together", async () => {
    const clock = new VirtualClock();
    const reports: Observation[] = [];
    const skipped = new SkippedRecords(clock, (report) => reports.push(report));
    skipped.add("unproven");
    skipped.add("unproven");
    skipped.add("members");
    await clock.advance(59_999);
    skipped.add("members");
    assertEquals(reports, [{ type: "crowded", unproven: 1, members: 0 }]);
    await clock.advance(1);
    skipped.add("members");
    assertEquals(reports.slice(1), [{ type: "crowded", unproven: 1, members: 3 }]);
  });
});
