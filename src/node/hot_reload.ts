/**
 * `bun --hot` evaluates a program's modules again in the same process when a file has changed, Catga's too, and stops nothing:
 * the apps of the evaluation before are drained before the new one starts its first.
 */
import process from "node:process";

/** An app that a reload drains. */
export interface Reloadable {
  readonly closed: Promise<void>;
  drain(options: { timeout: number }): Promise<void>;
}

/** One evaluation of the program's modules. */
export interface Evaluation {
  /** Drains the apps of earlier evaluations. Resolves when they have stopped; a drain's failure is logged by its app. */
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
  await app.drain({ timeout: GRACE }).catch(() => {});
}

/** ms that handlers have to end; then their signals abort. */
const GRACE = 1_000;
