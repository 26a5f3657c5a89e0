/** Code of a thread of `explore`: it imports the program and runs its part of the seeds. */
import { parentPort, workerData } from "node:worker_threads";
import { explore } from "./explore.ts";
import type { ThreadAnswer, ThreadTask } from "./explore_threads.ts";
import { ExploreError } from "./explore_error.ts";

const { program, options } = workerData as ThreadTask;

async function answer(): Promise<ThreadAnswer> {
  try {
    const { default: common } = await import(program);
    const { seeds, situations } = await explore({ ...common, ...options });
    return { seeds, situations };
  } catch (error) {
    if (error instanceof ExploreError) return { seed: error.seed, replay: error.replay, why: error.cause.message };
    return { error: error instanceof Error ? error.message : `${error}` };
  }
}

parentPort!.postMessage(await answer());
