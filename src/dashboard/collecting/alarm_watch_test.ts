import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { AlarmWatch } from "./alarm_watch.ts";
import type { DashboardSource } from "../dashboard_source.ts";

describe("AlarmWatch", () => {
  it("a part that was not looked at in time is a problem", async () => {
    const clock = new VirtualClock();
    const silence = () => Promise.resolve({ type: "silence" } as const);
    const network = new MemoryNetwork({ clock }).connect();
    const source: DashboardSource = {
      ...{ namespace: "shop", address: "memory", transport: network, events: network },
      bucket: () => Promise.resolve(undefined),
      stream: () => new Promise(() => {}),
      server: () => Promise.resolve({ name: "n1", version: "2.15.1", rtt: 1, streams: [] }),
      runs: async function* () {},
      cancelRun: () => Promise.resolve(),
      asker: () => ({ ping: silence, stats: silence, [Symbol.dispose]: () => {} }),
    };
    const watch = new AlarmWatch(source);
    await clock.advance(19_000);
    assertEquals(watch.problems, []);
    await clock.until(watch.looked);
    assertEquals(watch.problems, [{ part: "subscriptions", message: "no answer within 20 s" }]);
    watch[Symbol.dispose]();
  });
});
