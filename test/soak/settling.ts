/** Waits for a send long after its deadline, to find one that never settles. */
import { setTimeout as wait } from "node:timers/promises";

/** Turns of the event loop that a wait takes at least. */
const STEPS = 20;

/**
 * The result; `undefined` if there is none after `limit` ms. The wait goes on in steps: after a pause of the process,
 * in which deadline and limit have passed, a deadline still comes before the limit.
 */
export async function settledWithin<T>(sending: Promise<T>, limit: number): Promise<T | undefined> {
  const over = new AbortController();
  const late = async () => {
    for (let step = 0; step < STEPS && !over.signal.aborted; step++) {
      await wait(limit / STEPS, undefined, { signal: over.signal }).catch(() => {});
    }
    return undefined;
  };
  try {
    return await Promise.race([sending, late()]);
  } finally {
    over.abort();
  }
}
