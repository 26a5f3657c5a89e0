/** How much work something is, on a machine that has other work as well. */
import { performance } from "node:perf_hooks";

/**
 * How long this takes in ms: the least of five tries, for whatever else the machine does can only add to it. Of the same work
 * on little and on much, the quotient says how it grows.
 */
export async function leastTime(work: () => Promise<void>): Promise<number> {
  let least = Infinity;
  for (let tries = 0; tries < 5; tries++) {
    const began = performance.now();
    await work();
    least = Math.min(least, performance.now() - began);
  }
  return least;
}
