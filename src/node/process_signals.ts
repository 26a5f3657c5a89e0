/**
 * SIGTERM and SIGINT: the first signal drains the apps of a process, then the process ends; a second signal of the same
 * kind ends it at once.
 */
import process from "node:process";
import { constants } from "node:os";

/**
 * At the first SIGTERM or SIGINT, calls `drain`, and ends the process when `drain` has settled. A second signal of the
 * same kind ends it at once; a second signal of the other kind changes nothing, because Deno's watcher adds a SIGTERM
 * to Ctrl-C. If the process still has another listener for the signal (of another app, or the program's own, unless
 * added with `once`), this app does not end the process: the other listener has to. An app that starts while another
 * one drains for a signal is treated as if it got the signal, too. Returns a function that removes the listeners.
 */
export function onSignals(drain: () => Promise<void>): () => void {
  const seen = new Set<StopSignal>();
  const off = () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    draining = undefined;
    for (const signal of SIGNALS) process.off(signal, notifyListeners);
  };
  const listener = (signal: StopSignal) => {
    draining = signal;
    const end = () => {
      off();
      if (process.listenerCount(signal) === 0) endProcess(signal);
    };
    if (seen.has(signal)) end();
    else if (seen.size === 0) drain().then(end, end);
    seen.add(signal);
  };
  if (listeners.size === 0) SIGNALS.forEach((signal) => process.on(signal, notifyListeners));
  listeners.add(listener);
  if (draining !== undefined) listener(draining);
  return off;
}

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
type StopSignal = (typeof SIGNALS)[number];

/** Maximum time until a signal that this process sends to itself arrives, in ms. */
const MAX_SIGNAL_DELAY = 1_000;

/**
 * One function for each app that handles signals. The process has one listener for all of them, because Deno warns of
 * more than ten.
 */
const listeners = new Set<(signal: StopSignal) => void>();
/** The signal because of which apps drain now; `undefined`: no signal has arrived. */
let draining: StopSignal | undefined;
const notifyListeners = (signal: StopSignal) => {
  for (const listener of [...listeners]) listener(signal);
};

/**
 * Ends the process as the signal would if nothing listened to it; in Deno, SIGTERM ends the process with exit code 143.
 */
function endProcess(signal: StopSignal): void {
  const exit = () => process.exit(128 + constants.signals[signal]);
  // `deno run --watch` calls the listeners of SIGTERM before it starts a program again: then an exit ends only the
  // program, but a signal would end the watcher (observed, 2.9.6)
  if ("Deno" in globalThis && signal === "SIGTERM") return exit();
  process.kill(process.pid, signal);
  // the timer is needed, because in Deno another thread ends the process, and the first process of a container ignores
  // its own signals
  setTimeout(exit, MAX_SIGNAL_DELAY);
}
