/**
 * Tests that the ports keep their promises with a codec around them: one that answers at once, and one that answers
 * later.
 */
import { memoryLogHarness } from "../memory/harness_suite.ts";
import { type MemoryConnection, MemoryNetwork } from "../memory/network.ts";
import type { PayloadCodec } from "../contract/declaration/payload_codec.ts";
import { type Clock, systemClock } from "../ports/clock.ts";
import { eventLogSuite } from "../ports/event_log_suite.ts";
import { transportSuite } from "../ports/transport_suite.ts";
import { SealedLog } from "./sealed_log.ts";
import { SealedTransport } from "./sealed_transport.ts";
import { Sealing } from "./sealing.ts";

const changed = (bytes: Uint8Array) => bytes.map((byte) => byte ^ 7);
const codecs: Readonly<Record<string, PayloadCodec>> = {
  "at once": { encode: changed, decode: changed },
  "later": {
    // the codec answers after a varying number of microtasks, not after a timer, because the tests run on virtual
    // clocks
    encode: async (bytes) => (await turns(bytes.length % 5), changed(bytes)),
    decode: async (bytes) => (await turns(bytes.length % 3), changed(bytes)),
  },
};

async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await Promise.resolve();
}

for (const [when, codec] of Object.entries(codecs)) {
  // no timer for the limit, because the codecs answer, and the real clock would outlive the test
  const clock: Clock = { ...systemClock, after: () => ({ cancel() {} }) };
  const sealing = new Sealing(codec, { clock, timeout: 30_000 });

  eventLogSuite(`memory, sealed ${when}`, () => memoryLogHarness((log) => new SealedLog(log, sealing)));

  transportSuite(`memory, sealed ${when}`, () => {
    const network = new MemoryNetwork();
    const connections = new Map<unknown, MemoryConnection>();
    return Promise.resolve({
      connect() {
        const connection = network.connect({ onError: () => {} });
        const sealed = new SealedTransport(connection, sealing, () => true, () => {});
        connections.set(sealed, connection);
        return Promise.resolve(sealed);
      },
      cut: (transport) => Promise.resolve(connections.get(transport)!.cut()),
      restore: (transport) => Promise.resolve(connections.get(transport)!.restore()),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  });
}
