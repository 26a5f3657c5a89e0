/** The streams of a network in memory, for the suite that every log passes. */
import type { EventLog } from "../ports/event_log.ts";
import type { EventLogHarness } from "../ports/event_log_suite.ts";
import { MemoryNetwork } from "./network.ts";
import { VirtualClock } from "./virtual_clock.ts";

/** A network on virtual time. `wrap` makes the log that is tested of a connection's. */
export function memoryLogHarness(wrap = (log: EventLog): EventLog => log): Promise<EventLogHarness> {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock });
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
