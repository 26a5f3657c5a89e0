/** The suites of the ports over a file: on virtual time over connections that can be cut, and synced in real time. */
import { delay, systemClock } from "../ports/clock.ts";
import { eventLogSuite } from "../ports/event_log_suite.ts";
import { keyValueSuite } from "../ports/key_value_store_suite.ts";
import { memoryLogHarness } from "../memory/harness_suite.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { testFolder } from "./support_suite.ts";

/** Makes a network whose streams and buckets are in a file. */
async function networkOnFile() {
  const folder = await testFolder();
  const clock = new VirtualClock();
  const file = await folder.open({ clock });
  const end = async () => {
    const closed = file.close();
    await clock.advance(0);
    await closed;
    await folder[Symbol.asyncDispose]();
  };
  return { clock, network: new MemoryNetwork({ clock }, file.storage), end };
}

eventLogSuite("a file", async () => {
  const { clock, network, end } = await networkOnFile();
  return { ...await memoryLogHarness((log) => log, clock, network), [Symbol.asyncDispose]: end };
});

keyValueSuite("a file", async () => {
  const { clock, network, end } = await networkOnFile();
  return {
    store: () => Promise.resolve(network.connect().store),
    pass: (ms) => clock.advance(ms),
    now: () => clock.monotonic(),
    [Symbol.asyncDispose]: end,
  };
});

keyValueSuite("a synced file", async () => {
  const folder = await testFolder();
  const { store } = await folder.open({ durability: "disk" });
  return {
    store: () => Promise.resolve(store),
    pass: (ms) => delay(systemClock, ms),
    now: () => systemClock.monotonic(),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
});
