/** How much of a sweep is played: a share with each change, all of it before a release. */
import process from "node:process";
import { it } from "node:test";

/** The variable that `deno task test:all` sets for the files that `tools/bundles.ts` names as sweeps. */
export const VARIABLE = "CATGA_BEFORE_RELEASE";

/** True before a release. */
export const BEFORE_RELEASE = process.env[VARIABLE] !== undefined;

/**
 * `it` for a test that a release plays: other tests hold its promise with each change. Its file is one of those that
 * `tools/bundles.ts` names as sweeps.
 */
export const itBeforeRelease: (name: string, options: { timeout?: number }, test: () => Promise<void>) => void =
  BEFORE_RELEASE ? it : () => {};

/** All of these before a release; with each change the first. */
export function firstOf<T>(all: readonly T[]): readonly T[] {
  return BEFORE_RELEASE ? all : all.slice(0, 1);
}
