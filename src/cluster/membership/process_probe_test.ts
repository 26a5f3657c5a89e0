import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { delay } from "../../ports/clock.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { ProcessProbe } from "./own_record.ts";

/** Makes a probe on virtual time. `ping` is called with the number of pings before. */
function probeOf(ping: (probe: ProcessProbe, endpoint: string, n: number) => void, flush = () => Promise.resolve()) {
  const clock = new VirtualClock();
  const pinged: string[] = [];
  const probe: ProcessProbe = new ProcessProbe({
    transport: { clock, flush: () => flush() },
    ping: (endpoint) => ping(probe, endpoint, pinged.push(endpoint) - 1),
  });
  return { clock, probe, pinged };
}

describe("ProcessProbe", () => {
  it("a process that answers is alive, one whose ping bounces is not: at once", async () => {
    const { clock, probe } = probeOf((probe, endpoint) => clock.soon(() => probe.report(endpoint, endpoint === "a.1")));
    const answers = await clock.until(Promise.all(["a.1", "b.1"].map((endpoint) => probe.isAlive(endpoint))), 0);
    assertEquals(answers, [true, false]);
    assertEquals(clock.timers, 0);
  });

  it("without an answer or a bounce it asks once more after a second, and the outcome is undefined a second later", async () => {
    const { clock, probe, pinged } = probeOf(() => {});
    const alive = probe.isAlive("a.1");
    probe.report("b.1", true);
    assertEquals(await clock.until(alive, 2_000), undefined);
    assertEquals(clock.monotonic(), 2_000);
    assertEquals(pinged, ["a.1", "a.1"]);
  });

  it("a process that the server forgets a moment after its death is gone at the second ping", async () => {
    const { clock, probe } = probeOf((probe, endpoint, n) =>
      n === 1 && clock.soon(() => probe.report(endpoint, false))
    );
    assertEquals(await clock.until(probe.isAlive("a.1"), 1_000), false);
  });

  it("a bounce that takes long is waited for: the server has not answered either", async () => {
    const { clock, probe } = probeOf(
      (probe, endpoint) => clock.after(5_000, () => probe.report(endpoint, false)),
      () => delay(clock, 5_001),
    );
    assertEquals(await clock.until(probe.isAlive("a.1"), 5_000), false);
  });

  it("rejects when the connection is lost", async () => {
    const { clock, probe } = probeOf(() => {}, () => Promise.reject(new Error("lost")));
    await clock.until(assertRejects(() => probe.isAlive("a.1"), Error, "lost"), 0);
    assertEquals(clock.timers, 0);
  });
});
