/** SIGTERM and SIGINT: they drain an app, then end the process. */
import { constants } from "node:os";
import process from "node:process";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
type Signal = (typeof SIGNALS)[number];

/** ms within which both signals are one: at Ctrl-C Deno's watcher adds a SIGTERM (5 ms later, measured with 2.9.6). */
const TOGETHER = 250;
/** ms that a signal of this process to itself may take. */
const ARRIVAL = 1_000;

/**
 * At the first SIGTERM or SIGINT calls `drain`, and ends the process when that has settled. A second signal does so at once.
 * When another listener is there (another app of this process, or the program's own), that one has to end the process. Returns
 * a function that removes the listeners.
 */
export function onSignals(drain: () => Promise<void>): () => void {
  let first: { readonly signal: Signal; readonly at: number } | undefined;
  const off = () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
  const listener = (signal: Signal) => {
    const end = () => {
      off();
      if (process.listenerCount(signal) === 0) endProcess(signal);
    };
    if (first === undefined) {
      first = { signal, at: performance.now() };
      drain().then(end, end);
    } else if (signal === first.signal || performance.now() - first.at > TOGETHER) {
      end();
    }
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
  const kill = () => {
    process.kill(process.pid, signal);
    // in Deno another thread ends the process, and the first process of a container ignores its own signals
    setTimeout(exit, ARRIVAL);
  };
  // `bun --watch` does so, too, and replaces the process within 100 ms: it cannot if the process has ended (observed, 1.4.4)
  if ("Bun" in globalThis && process.execArgv.includes("--watch")) setTimeout(kill, ARRIVAL);
  else kill();
}
