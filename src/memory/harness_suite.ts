/** Harness for the suite that every event log passes: streams of a network in memory. */
import type { EventLog } from "../ports/event_log.ts";
import type { EventLogHarness } from "../ports/event_log_suite.ts";
import { MemoryNetwork } from "./network.ts";
import { VirtualClock } from "./virtual_clock.ts";

/** Makes a network on virtual time. `wrap` returns the log to test for the log of a connection. */
export function memoryLogHarness(
  wrap = (log: EventLog): EventLog => log,
  clock: VirtualClock = new VirtualClock(),
  network: MemoryNetwork = new MemoryNetwork({ clock }),
): Promise<EventLogHarness> {
  return Promise.resolve({
    connect() {
      const connection = network.connect();
      return Promise.resolve({
        log: wrap(connection.log),
        cut: () => Promise.resolve(connection.cut()),
        restore: () => Promise.resolve(connection.restore()),
        close: () => connection.close(),
      });
    },
    remove: (name) => Promise.resolve(network.log.remove(name)),
    pass: (ms) => clock.advance(ms),
    now: () => clock.now(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}
