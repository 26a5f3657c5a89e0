/** Waits for a condition, with a limit, where a sleep would only guess. */
import { setTimeout as wait } from "node:timers/promises";

/**
 * Asks every ms until the answer is truthy, and gives it. Rejects when it is not within `limit` ms (60,000: how long a
 * machine takes that has much else to do says nothing of what it does), with `what` was waited for.
 */
export async function eventually<T>(what: string, ask: () => T | Promise<T>, limit = 60_000): Promise<T> {
  const end = performance.now() + limit;
  while (true) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > end) throw new Error(`waited ${limit} ms in vain for ${what}`);
    await wait(1);
  }
}
