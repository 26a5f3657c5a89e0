/**
 * Every third one in Deno, whose half of the tests takes longer, the rest in Bun: for tests of what cannot depend on
 * the runtime.
 */
export function ofThisRuntime<T>(all: readonly T[]): T[] {
  return all.filter((_, index) => (index % 3 === 0) !== ("Bun" in globalThis));
}

/** The seeds of a simulation that this runtime plays. */
export function seedsOfThisRuntime(count: number): number[] {
  return ofThisRuntime(Array.from({ length: count }, (_, seed) => seed));
}

/** To start a program in. */
export const THIS_RUNTIME = "Bun" in globalThis ? "bun" : "deno";
