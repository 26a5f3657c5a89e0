/**
 * Stops old apps under `bun --hot`. When a file has changed, Bun evaluates a program's modules, Catga's included, again
 * in the same process, and stops nothing: so each evaluation drains the apps of the previous one, and only then starts
 * its first app.
 */
import process from "node:process";

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
  /**
   * Adds an app that has started. If a later evaluation has begun while the app was starting, the app is drained at
   * once.
   */
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
