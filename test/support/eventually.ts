/** Waits for a condition, with a limit, where a sleep would only guess. */
import { setTimeout as wait } from "node:timers/promises";

/** After so many ms of waiting, pauses have their full length. */
const SETTLED = 400;

/**
 * Asks until the answer is truthy, and gives it: every ms at first, then less often the longer it takes, for what waits
 * shares its machine with what it waits for. Rejects when it is not within `limit` ms (240,000: how long a slow machine
 * takes says nothing of what it does), with `what` was waited for. `pause`: the longest one between two questions
 * (20 ms).
 */
export async function eventually<T>(what: string, ask: () => T | Promise<T>, limit = 240_000, pause = 20): Promise<T> {
  const start = performance.now();
  while (true) {
    const answer = await ask();
    if (answer) return answer;
    const waited = performance.now() - start;
    if (waited > limit) throw new Error(`waited ${limit} ms in vain for ${what}`);
    await wait(Math.min(1 + waited * pause / SETTLED, pause));
  }
}

/** Resolves when a number has not changed for `ms`. Rejects if it has changed at each look for about 240 s. */
export async function standsStill(what: string, count: () => Promise<number>, ms: number): Promise<void> {
  await eventually(what, async () => {
    const before = await count();
    await wait(ms);
    return await count() === before;
  }, 240_000 + 2 * ms);
}
