/** What a leader cannot go on without: tried until it succeeds, or its term is over. */
import { type Clock, delay } from "../../ports/clock.ts";

/** Resolves when the action has succeeded. Rejects with the signal's reason when that aborts. */
export async function persist(
  clock: Clock,
  signal: AbortSignal,
  action: () => Promise<void>,
  fault: (error: unknown) => void,
): Promise<void> {
  for (let pause = FIRST;; pause = Math.min(LONGEST, pause * 2)) {
    try {
      await action();
      signal.throwIfAborted();
      return;
    } catch (error) {
      signal.throwIfAborted();
      fault(error);
      await delay(clock, pause, signal);
    }
  }
}

const FIRST = 50; // ms
const LONGEST = 2_000; // ms
