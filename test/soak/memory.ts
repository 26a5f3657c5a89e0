/**
 * The memory of a process at the beginning and the end of a run, and if it has grown.
 *
 * @module
 */
import type { SoakLine } from "./messages.ts";

/** How much memory a process took, in bytes: a tenth of its time in, and at its end. */
export interface Memory {
  /** All of it: the median. */
  readonly rss: EarlyAndLate;
  /** What the heap held when it held least: after a collection. */
  readonly heap: EarlyAndLate;
}

/** A figure a tenth of the way in, and at the end. */
export interface EarlyAndLate {
  readonly early: number;
  readonly late: number;
}

/** The memory that a process reported; `undefined` if it lived for less than a minute. */
export function memoryOf(lines: readonly SoakLine[]): Memory | undefined {
  const stats = lines.filter((line) => line.event === "stat");
  if (stats.length < 60) return undefined;
  const tenth = Math.floor(stats.length / 10);
  const compare = (figure: (of: typeof stats) => number): EarlyAndLate => ({
    early: figure(stats.slice(tenth, 2 * tenth)),
    late: figure(stats.slice(-tenth)),
  });
  return {
    rss: compare((of) => of.map(({ rss }) => rss).sort((a, b) => a - b)[of.length >> 1]),
    heap: compare((of) => Math.min(...of.map(({ heap }) => heap))),
  };
}

/**
 * Returns true if the memory has grown by more than that of a process that leaks nothing: by a half and `SLACK` (in
 * runs of 8 minutes, nodes in Deno took up to 48 MB more at their end, in Bun 8).
 */
export function hasGrown({ rss: { early, late } }: Memory): boolean {
  return late > early * 1.5 + SLACK;
}

const SLACK = 30e6; // bytes
