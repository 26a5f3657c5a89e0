import { keyValueSuite } from "../kv_store_suite.ts";
import { MemoryNetwork } from "./network.ts";
import { VirtualClock } from "./virtual_clock.ts";

keyValueSuite("memory", () => {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock });
  return Promise.resolve({
    store: () => Promise.resolve(network.connect().store),
    pass: (ms) => clock.advance(ms),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
