/**
 * `bun --hot` evaluates a program's modules again in the same process when a file has changed, Catga's too, and stops
 * nothing: the apps of the evaluation before are drained before the new one starts its first.
 */
import process from "node:process";
import { constants } from "node:os";

/** An app that a reload drains. */
export interface Reloadable {
  readonly closed: Promise<void>;
  drain(options: { timeout: number }): Promise<void>;
}

/** One evaluation of the program's modules. */
interface Evaluation {
  /**
   * Drains the apps of earlier evaluations. Resolves when they have stopped; a drain's failure is logged by its app.
   */
  drainEarlier(): Promise<void>;
  /** Adds an app that has started. It is drained at once when a later evaluation has begun meanwhile. */
  add(app: Reloadable): void;
}

/** Begins an evaluation in `bun --hot`; `undefined` wherever modules are evaluated once. */
export function hotEvaluation(): Evaluation | undefined {
  if (!("Bun" in globalThis) || !process.execArgv.includes("--hot")) return undefined;
  // by the module's address: another copy of Catga in this program has apps of its own
  const key = Symbol.for(`catga.evaluations ${import.meta.url}`);
  const global = globalThis as { [key]?: Evaluations };
  return (global[key] ??= new Evaluations()).begin();
}

/** The evaluations of one process, and their apps. */
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
  // what a drain rejects with is in the log: `closed` rejects with it, too
  await app.drain({ timeout: HANDLERS_END_WITHIN }).catch(() => {});
}

/** ms that handlers have to end; then their signals abort. */
const HANDLERS_END_WITHIN = 1_000;

// SIGTERM and SIGINT: they drain an app, then end the process.

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
type ReloadSignal = (typeof SIGNALS)[number];

/** ms that a signal of this process to itself may take. */
const ARRIVAL = 1_000;

/** Listeners of the apps: the process has one for all of them, because Deno warns of more than ten. */
const listeners = new Set<(signal: ReloadSignal) => void>();
/** The signal for which one of them drains. */
let draining: ReloadSignal | undefined;
const tell = (signal: ReloadSignal) => {
  for (const listener of [...listeners]) listener(signal);
};

/**
 * At the first SIGTERM or SIGINT calls `drain`, and ends the process when that has settled. A second signal of the same
 * kind does so at once; one of the other kind changes nothing, because Deno's watcher adds a SIGTERM to Ctrl-C. When
 * another listener is there then (another app of this process, or the program's own, unless it was one of `once`), that
 * one has to end the process. An app that starts while another one drains for a signal has got it, too. Returns a
 * function that removes the listeners.
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

/** Ends the process as the signal would have without listeners; in Deno SIGTERM becomes its exit code, 143. */
function endProcess(signal: ReloadSignal): void {
  const exit = () => process.exit(128 + constants.signals[signal]);
  // `deno run --watch` calls the listeners of SIGTERM before it starts a program again: an exit ends only the program
  // then, a signal would end the watcher (observed, 2.9.6)
  if ("Deno" in globalThis && signal === "SIGTERM") return exit();
  process.kill(process.pid, signal);
  // in Deno another thread ends the process, and the first process of a container ignores its own signals
  setTimeout(exit, ARRIVAL);
}
