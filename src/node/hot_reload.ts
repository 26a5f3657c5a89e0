/**
 * Stops old apps under `bun --hot`. When a file has changed, Bun evaluates a program's modules, Catga's included, again
 * in the same process, and stops nothing: so a new evaluation drains the apps of the evaluation before it starts its
 * first app.
 */
import process from "node:process";
import { constants } from "node:os";

/** An app that a hot reload drains. */
export interface Reloadable {
  readonly closed: Promise<void>;
  drain(options: { timeout: number }): Promise<void>;
}

/** One evaluation of the program's modules by `bun --hot`. */
interface Evaluation {
  /**
   * Drains the apps of earlier evaluations. Resolves when they have stopped; if a drain fails, the app itself logs the
   * failure.
   */
  drainEarlier(): Promise<void>;
  /** Adds an app that has started. If a later evaluation has begun meanwhile, the app is drained at once. */
  add(app: Reloadable): void;
}

/** Begins an evaluation under `bun --hot`; returns `undefined` without `--hot`, where modules are evaluated once. */
export function hotEvaluation(): Evaluation | undefined {
  if (!("Bun" in globalThis) || !process.execArgv.includes("--hot")) return undefined;
  // the key contains this module's address, because another copy of Catga in this program has apps of its own
  const key = Symbol.for(`catga.evaluations ${import.meta.url}`);
  const global = globalThis as { [key]?: Evaluations };
  return (global[key] ??= new Evaluations()).begin();
}

/** Evaluations of a program's modules by `bun --hot` in one process, and the apps that each has started. */
export class Evaluations {
  #last = 0;
  readonly #apps = new Map<Reloadable, number>();

  /** Begins the next evaluation. */
  begin(): Evaluation {
    const evaluation = ++this.#last;
    return {
      drainEarlier: async () => {
        const earlier = [...this.#apps].filter(([, of]) => of < evaluation);
        await Promise.all(earlier.map(([app]) => stop(app)));
      },
      add: (app) => {
        this.#apps.set(app, evaluation);
        const remove = () => void this.#apps.delete(app);
        app.closed.then(remove, remove);
        if (evaluation < this.#last) void stop(app);
      },
    };
  }
}

async function stop(app: Reloadable): Promise<void> {
  // the app has logged the rejection of its drain: `closed` rejects with it, too
  await app.drain({ timeout: HANDLERS_END_WITHIN }).catch(() => {});
}

/** Time that handlers have to end before their signals abort, in ms. */
const HANDLERS_END_WITHIN = 1_000;

// SIGTERM and SIGINT: the first signal drains an app, and the process ends after the drain.

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
type ReloadSignal = (typeof SIGNALS)[number];

/** Maximum time until a signal that this process sends to itself arrives, in ms. */
const ARRIVAL = 1_000;

/**
 * One function for each app that handles signals. The process has one listener for all of them, because Deno warns of
 * more than ten.
 */
const listeners = new Set<(signal: ReloadSignal) => void>();
/** The signal because of which apps drain now; `undefined`: no signal has arrived. */
let draining: ReloadSignal | undefined;
const tell = (signal: ReloadSignal) => {
  for (const listener of [...listeners]) listener(signal);
};

/**
 * At the first SIGTERM or SIGINT, calls `drain`, and ends the process when `drain` has settled. A second signal of the
 * same kind ends it at once; a second signal of the other kind changes nothing, because Deno's watcher adds a SIGTERM
 * to Ctrl-C. If the process still has another listener for the signal (of another app, or the program's own, unless
 * added with `once`), this app does not end the process: the other listener has to. An app that starts while another
 * one drains for a signal is treated as if it got the signal, too. Returns a function that removes the listeners.
 */
export function onSignals(drain: () => Promise<void>): () => void {
  const seen = new Set<ReloadSignal>();
  const off = () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    draining = undefined;
    for (const signal of SIGNALS) process.off(signal, tell);
  };
  const listener = (signal: ReloadSignal) => {
    draining = signal;
    const end = () => {
      off();
      if (process.listenerCount(signal) === 0) endProcess(signal);
    };
    if (seen.has(signal)) end();
    else if (seen.size === 0) drain().then(end, end);
    seen.add(signal);
  };
  if (listeners.size === 0) SIGNALS.forEach((signal) => process.on(signal, tell));
  listeners.add(listener);
  if (draining !== undefined) listener(draining);
  return off;
}

/**
 * Ends the process as the signal would if nothing listened to it; in Deno, SIGTERM ends the process with exit code 143.
 */
function endProcess(signal: ReloadSignal): void {
  const exit = () => process.exit(128 + constants.signals[signal]);
  // `deno run --watch` calls the listeners of SIGTERM before it starts a program again: then an exit ends only the
  // program, but a signal would end the watcher (observed, 2.9.6)
  if ("Deno" in globalThis && signal === "SIGTERM") return exit();
  process.kill(process.pid, signal);
  // needed because in Deno another thread ends the process, and the first process of a container ignores its own
  // signals
  setTimeout(exit, ARRIVAL);
}
