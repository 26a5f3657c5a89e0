import { BEFORE_RELEASE } from "./before_release.ts";

/** How many times as many seeds are played before a release, all of them in the runtime that plays. */
const MORE = 7;

/**
 * Every third one in Deno, whose half of the tests takes longer, the rest in Bun: for tests of what cannot depend on
 * the runtime. Before a release, all of them.
 */
export function ofThisRuntime<T>(all: readonly T[]): T[] {
  if (BEFORE_RELEASE) return [...all];
  return all.filter((_, index) => (index % 3 === 0) !== ("Bun" in globalThis));
}

/** The seeds of a simulation that this runtime plays; before a release, four times as many as both play. */
export function seedsOfThisRuntime(count: number): number[] {
  return ofThisRuntime(Array.from({ length: BEFORE_RELEASE ? MORE * count : count }, (_, seed) => seed));
}

/**
 * The seeds of `explore` that this runtime plays, as its options: the first third of them in Deno, the rest in Bun.
 * They follow one another: such seeds begin their faults at different moments. Before a release, four times as many as
 * both play.
 */
export function exploredByThisRuntime(count: number): { readonly seed: number; readonly seeds: number } {
  if (BEFORE_RELEASE) return { seed: 1, seeds: MORE * count };
  const third = Math.ceil(count / 3);
  return "Bun" in globalThis ? { seed: 1 + third, seeds: count - third } : { seed: 1, seeds: third };
}

/** To start a program in. */
export const THIS_RUNTIME = "Bun" in globalThis ? "bun" : "deno";
