import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { ProcessProbe } from "./process_probe.ts";

describe("ProcessProbe", () => {
  it("a process that answers is alive, one whose ping bounces is not: at once", async () => {
    const clock = new VirtualClock();
    const probe: ProcessProbe = new ProcessProbe({
      clock,
      ping: (endpoint) => clock.soon(() => probe.report(endpoint, endpoint === "a.1")),
    });
    const answers = await clock.until(Promise.all(["a.1", "b.1"].map((endpoint) => probe.isAlive(endpoint))), 0);
    assertEquals(answers, [true, false]);
    assertEquals(clock.timers, 0);
  });

  it("without an answer or a bounce the outcome is undefined, after a second", async () => {
    const clock = new VirtualClock();
    const pinged: string[] = [];
    const probe = new ProcessProbe({ clock, ping: (endpoint) => pinged.push(endpoint) });
    const alive = probe.isAlive("a.1");
    probe.report("b.1", true);
    assertEquals(await clock.until(alive, 1_000), undefined);
    assertEquals(clock.monotonic(), 1_000);
    assertEquals(pinged, ["a.1"]);
  });
});
