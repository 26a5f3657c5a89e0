/** Waits for what a test is about, instead of for an amount of time that might do. */
import { setTimeout as wait } from "node:timers/promises";

/**
 * Asks every ms until the answer is truthy, and gives it. Rejects when it is not within `limit` ms (4,000: less than the
 * 5 s after which Bun ends a test), with `what` was waited for.
 */
export async function eventually<T>(what: string, ask: () => T | Promise<T>, limit = 4_000): Promise<T> {
  const end = performance.now() + limit;
  while (true) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > end) throw new Error(`waited ${limit} ms in vain for ${what}`);
    await wait(1);
  }
}
