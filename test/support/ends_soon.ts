/** Asserts that processes end soon, and distinguishes a late end from a machine that is busy with other work. */
import { assertLessOrEqual } from "@std/assert";
import { chances } from "./chances.ts";

/** One run of a process, in ms. */
export interface Run {
  /** How long it took to start, which shows how busy the machine is. */
  readonly start: number;
  /** How long it took from the moment in which nothing should keep it alive to its end. */
  readonly end: number;
}

/**
 * Fails unless a process ends within a second, or three times as long as it took to start; in one of five runs: what
 * keeps a process alive keeps each, and other work delays some.
 */
export async function assertEndsSoon(run: () => Promise<Run>): Promise<void> {
  const limit = ({ start }: Run) => Math.max(1_000, 3 * start);
  const last = await chances(4, run, (run) => run.end <= limit(run));
  assertLessOrEqual(last.end, limit(last));
}
