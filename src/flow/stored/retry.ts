/** Repeats an operation on the store until it succeeds or fails for good. */
import { doubled } from "../../ports/clock.ts";

/** When {@link retry} repeats its operation. */
interface RepeatOptions {
  /** Returns true if the operation is repeated after this error. */
  isTransient(error: unknown): boolean;
  /** First and longest pause between two calls, in ms; each pause is twice as long as the one before. */
  readonly pauses: readonly [first: number, longest: number];
  /** Resolves after a pause of `ms`. */
  pause(ms: number): Promise<void>;
  /** Returns true if the operation must not be called again. */
  isOver(): boolean;
}

/**
 * Calls `work` until it succeeds, with growing pauses. Resolves with `undefined` if `isOver` returns true before `work`
 * has succeeded. Rejects with the first error for which `isTransient` returns false.
 */
export async function retry<T>(
  work: () => Promise<T>,
  { isTransient, pauses: [first, longest], pause, isOver }: RepeatOptions,
): Promise<T | undefined> {
  for (let failures = 0; !isOver(); failures++) {
    try {
      return await work();
    } catch (error) {
      if (!isTransient(error)) throw error;
      await pause(doubled(failures, first, longest));
    }
  }
  return undefined;
}
