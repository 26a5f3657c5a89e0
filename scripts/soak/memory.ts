/**
 * Whether a process that has worked for a while still takes as much memory as it did.
 *
 * @module
 */
import type { SoakLine } from "./messages.ts";

/** How much memory a process took, in bytes: a tenth of its time in, and at its end. */
export interface Memory {
  readonly early: number;
  readonly late: number;
}

/** What a process said of its memory; `undefined` when it lived for less than a minute. */
export function memoryOf(lines: readonly SoakLine[]): Memory | undefined {
  const stats = lines.filter((line) => line.event === "stat");
  if (stats.length < 60) return undefined;
  const tenth = Math.floor(stats.length / 10);
  return { early: median(stats.slice(tenth, 2 * tenth)), late: median(stats.slice(-tenth)) };
}

/**
 * Whether it has grown by more than a heap that is collected now and then does: by a half and `SLACK` (measured: a node
 * that leaks nothing stays below).
 */
export function hasGrown({ early, late }: Memory): boolean {
  return late > early * 1.5 + SLACK;
}

const SLACK = 30e6; // bytes

function median(stats: readonly { readonly rss: number }[]): number {
  return stats.map(({ rss }) => rss).sort((a, b) => a - b)[stats.length >> 1];
}
