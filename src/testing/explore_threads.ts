/** Runs the seeds of `explore` on several threads, each of which imports the program. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { ExploreOptions } from "./explore_options.ts";
import type { Situation } from "./situations.ts";

/** A part of the seeds, to be run on a thread. */
export interface ThreadTask {
  /** URL of the module whose default export has the options. */
  readonly program: string;
  /** Options that replace the options of the module. */
  readonly options: Pick<ExploreOptions, "seed" | "seeds" | "steer" | "shrink" | "repeatable">;
}

/** The answer of a thread for its part of the seeds. */
export type ThreadAnswer =
  | { readonly seeds: number; readonly situations: readonly Situation[] }
  | { readonly seed: number; readonly replay: string; readonly why: string }
  | { readonly error: string };

/**
 * Runs tasks, each on a thread of its own, until all have answered, or one has found a broken promise. Rejects with an
 * `Error` if the program cannot be imported, if `explore` refuses it, or if it ends its thread.
 * @decides seeds are divided among threads
 */
export async function runThreads(tasks: readonly ThreadTask[]): Promise<ThreadAnswer[]> {
  const threads: Worker[] = [];
  const found = Promise.withResolvers<ThreadAnswer[]>();
  const answers = tasks.map(async (task): Promise<ThreadAnswer> => {
    const thread = new Worker(new URL(`./explore_worker${EXTENSION}`, import.meta.url), { workerData: task });
    threads.push(thread);
    const answer = await Promise.race([
      once(thread, "message").then(([answer]): ThreadAnswer => answer),
      once(thread, "exit").then((): ThreadAnswer => ({ error: "it has ended without an answer" })),
    ]);
    if ("error" in answer) throw new Error(`explore: a thread cannot run ${task.program}: ${answer.error}`);
    if ("replay" in answer) found.resolve([answer]);
    return answer;
  });
  try {
    return await Promise.race([found.promise, Promise.all(answers)]);
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

/** File name extension of this module: `.js` in packages, where it is JavaScript. */
const EXTENSION = import.meta.url.endsWith(".js") ? ".js" : ".ts";
