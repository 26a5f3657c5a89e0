/** The end of a process by a signal: drained first, then as it would have been. */
import process from "node:process";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
const ARRIVAL = 1_000; // ms that a signal to oneself may take

/**
 * On the first SIGTERM or SIGINT calls `drain`, and when that has settled lets the signal do what it does to a process
 * that does not listen. A second one does it at once. Where others listen to that signal too (another app of this
 * process, or the program itself) the process is theirs to end. Gives a function that takes the listeners away.
 */
export function onSignals(drain: () => Promise<void>): () => void {
  let asked = false;
  const off = () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
  const listener = (signal: (typeof SIGNALS)[number]) => {
    const end = () => {
      off();
      if (process.listenerCount(signal) > 0) return;
      process.kill(process.pid, signal);
      // in Deno another thread ends the process, and must not come too late
      setTimeout(() => {}, ARRIVAL);
    };
    if (asked) return end();
    asked = true;
    drain().then(end, end);
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return off;
}
