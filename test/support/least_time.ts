/** The cost of some work, measured on a machine that is busy with other work. */
import process from "node:process";

/**
 * How long this thread computes for it, in ms: the least of five tries, for whatever else it runs can only add to it.
 * Other test files run in other threads of the process. The quotient of the same work on little and on much shows how
 * it grows.
 */
export async function leastTime(work: () => Promise<void>): Promise<number> {
  let least = Infinity;
  for (let tries = 0; tries < 5; tries++) {
    const before = process.threadCpuUsage();
    await work();
    const { user, system } = process.threadCpuUsage(before);
    least = Math.min(least, (user + system) / 1_000);
  }
  return least;
}
