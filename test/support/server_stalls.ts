/** Notes when a server, or the machine, gave no answer for so long that leaders may have lost their leases. */
import { connect } from "@nats-io/transport-node";
import { setTimeout as wait } from "node:timers/promises";
import { trueNow } from "../processes/skewed_clock.ts";

/**
 * Calls back with each time in which none of these servers answered for a second or more. Returns a function that ends
 * it.
 */
export async function watchStalls(
  urls: readonly string[],
  onStall: (from: number, to: number) => void,
): Promise<() => Promise<void>> {
  const servers = urls.map((url) => new URL(url).host);
  const connection = await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  let over = false;
  // a flush that is under way when the connection is closed never settles
  const closed = connection.closed().then(() => false);
  const watching = (async () => {
    let from = trueNow();
    while (!over) {
      // a connection that was lost comes back
      const answered = await Promise.race([connection.flush().then(() => true, () => false), closed]);
      const to = trueNow();
      if (answered && to - from >= STALL) onStall(from, to);
      if (answered) from = to;
      await wait(EVERY);
    }
  })();
  return async () => {
    over = true;
    await connection.close();
    await watching;
  };
}

const STALL = 1_000; // ms
const EVERY = 50; // ms
