/**
 * An app for a workload whose program is killed and started again on its file: each call goes to the process that runs.
 */
import { type Catga, CatgaError } from "../../mod.ts";
import { type Clock, delay } from "../ports/clock.ts";

/** A process of a program that may be killed. */
export interface MortalProcess {
  readonly app: Catga;
  /** Resolves when the process was killed. */
  readonly died: Promise<void>;
}

/**
 * Returns an app that stands for the processes of a program, one after the other. A call waits while none runs. A call
 * that is under way when its process is killed has an unknown outcome: its result is `OUTCOME_UNKNOWN`; a lock, a
 * leadership or a loaded entity is not returned then, and the call rejects.
 */
export function survivingApp(present: () => MortalProcess | undefined, clock: Clock): Catga {
  const running = async () => {
    for (;;) {
      const process = present();
      if (process !== undefined) return process;
      await delay(clock, STEP);
    }
  };
  const call = (method: string, args: unknown[]): unknown => {
    const process = present();
    if (process === undefined) return running().then(() => call(method, args));
    // cast: `method` is the name of a function of the app
    const returned = (process.app as unknown as Record<string, (...args: unknown[]) => unknown>)[method](...args);
    if (!(returned instanceof Promise)) return returned;
    return Promise.race([
      returned,
      process.died.then(() => {
        const error = new CatgaError("OUTCOME_UNKNOWN", `the process was killed while ${method} was under way`);
        if (WITH_RESULT.has(method)) return { ok: false, error };
        throw error;
      }),
    ]);
  };
  // cast: the members of the target are those of the app that runs
  return new Proxy({} as Catga, {
    get(_, name) {
      const value = present()?.app[name as keyof Catga];
      if (typeof name !== "string" || (value !== undefined && typeof value !== "function")) return value;
      return name === "then" ? undefined : (...args: unknown[]) => call(name, args);
    },
  });
}

/** Methods that resolve with a `Result`. */
const WITH_RESULT: ReadonlySet<string> = new Set([
  ...["send", "publish", "enqueue", "start", "result", "tell", "ask", "complete", "cancel", "unschedule"],
]);
/** Interval between looks whether a process runs, in ms. */
const STEP = 5;
