import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Observation } from "../../contract/observer.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Transport } from "../../ports/transport.ts";
import { MalformedCount } from "./malformed_count.ts";

/** Makes a transport with the only member that a count uses. */
const transportOf = (clock: VirtualClock) => ({ clock }) as unknown as Transport;

describe("MalformedCount", () => {
  it("reports the first message at once, then once a minute how many came, with the last one's reason", async () => {
    const clock = new VirtualClock();
    const reports: Observation[] = [];
    const malformed = new MalformedCount(transportOf(clock), (report) => void reports.push(report));
    malformed.add("s", "first");
    for (let i = 0; i < 5; i++) malformed.add("s", `more ${i}`);
    assertEquals(reports, [{ type: "malformed", subject: "s", reason: "first", count: 1 }]);
    await clock.advance(60_000);
    malformed.add("t", "last");
    assertEquals(reports.slice(1), [{ type: "malformed", subject: "t", reason: "last", count: 6 }]);
  });

  it("report() reports the rest, once; a subject of any length is cut to 200 characters", () => {
    const reports: Observation[] = [];
    const malformed = new MalformedCount(transportOf(new VirtualClock()), (report) => void reports.push(report));
    malformed.add("s", "first");
    malformed.add("x".repeat(1_000), "second");
    malformed.report();
    malformed.report();
    assertEquals(reports.slice(1), [{ type: "malformed", subject: "x".repeat(200), reason: "second", count: 1 }]);
  });
});
