/** SIGTERM and SIGINT: they drain an app, then end the process. */
import { constants } from "node:os";
import process from "node:process";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
type Signal = (typeof SIGNALS)[number];

/** ms that a signal of this process to itself may take. */
const ARRIVAL = 1_000;

/**
 * At the first SIGTERM or SIGINT calls `drain`, and ends the process when that has settled. A second signal of the
 * same kind does so at once; one of the other kind changes nothing, because Deno's watcher adds a SIGTERM to Ctrl-C. When
 * another listener is there (another app of this process, or the program's own), that one has to end the process. Returns
 * a function that removes the listeners.
 */
export function onSignals(drain: () => Promise<void>): () => void {
  const seen = new Set<Signal>();
  const off = () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
  const listener = (signal: Signal) => {
    const end = () => {
      off();
      if (process.listenerCount(signal) === 0) endProcess(signal);
    };
    if (seen.has(signal)) end();
    else if (seen.size === 0) drain().then(end, end);
    seen.add(signal);
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return off;
}

/** Ends the process as the signal would have without listeners; in Deno SIGTERM becomes its exit code, 143. */
function endProcess(signal: Signal): void {
  const exit = () => process.exit(128 + constants.signals[signal]);
  // `deno run --watch` calls the listeners of SIGTERM before it starts a program again: an exit ends only the program then, a
  // signal would end the watcher (observed, 2.9.6)
  if ("Deno" in globalThis && signal === "SIGTERM") return exit();
  process.kill(process.pid, signal);
  // in Deno another thread ends the process, and the first process of a container ignores its own signals
  setTimeout(exit, ARRIVAL);
}
