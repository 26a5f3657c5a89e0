/** SIGTERM and SIGINT: they drain an app, then end the process as they would have without it. */
import process from "node:process";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
const ARRIVAL = 1_000; // ms that a signal of this process to itself may take

/**
 * At the first SIGTERM or SIGINT calls `drain`, and sends the signal again, without a listener, when that has settled. A second
 * signal does so at once. When another listener is there (another app of this process, or the program's own), that one has to
 * end the process. Returns a function that removes the listeners.
 */
export function onSignals(drain: () => Promise<void>): () => void {
  let draining = false;
  const off = () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
  const listener = (signal: (typeof SIGNALS)[number]) => {
    const end = () => {
      off();
      if (process.listenerCount(signal) > 0) return;
      process.kill(process.pid, signal);
      // in Deno another thread ends the process: stay alive until it does
      setTimeout(() => {}, ARRIVAL);
    };
    if (draining) return end();
    draining = true;
    drain().then(end, end);
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return off;
}
