/** Every other one in Deno, the rest in Bun: for tests of what cannot depend on the runtime. */
export function ofThisRuntime<T>(all: readonly T[]): T[] {
  const rest = "Bun" in globalThis ? 1 : 0;
  return all.filter((_, index) => index % 2 === rest);
}
