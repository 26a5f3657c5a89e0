/**
 * Changes many dead letters or runs, as an operator asks for at once: an error for one does not stop the others.
 *
 * @module
 */
import { Fifo } from "../data/fifo.ts";
import { type CatgaError, isCatgaError } from "../error.ts";

/**
 * Calls `change` for several of them concurrently, because the link to the server may be slow. Yields them in order,
 * each with the `CatgaError` with which `change` rejected for it; without an error if it succeeded. Throws any other
 * error of `change`; an error of the list, when all that were begun before it have been yielded.
 */
export async function* changeEach<T>(
  all: AsyncIterable<T>,
  change: (one: T) => Promise<unknown>,
): AsyncGenerator<readonly [one: T, error: CatgaError | undefined]> {
  const begun = new Fifo<Promise<readonly [T, unknown]>>();
  const next = async (): Promise<readonly [T, CatgaError | undefined]> => {
    const [one, error] = await begun.shift()!; // `begun` is not empty here
    if (error !== undefined && !isCatgaError(error)) throw error;
    return [one, error];
  };
  const broken: unknown[] = [];
  const listed = async function* () {
    try {
      yield* all;
    } catch (error) {
      broken.push(error);
    }
  };
  for await (const one of listed()) {
    begun.push(change(one).then(() => [one, undefined] as const, (error) => [one, error] as const));
    if (begun.size === AT_ONCE) yield await next();
  }
  while (begun.size > 0) yield await next();
  if (broken.length > 0) throw broken[0];
}

/** Number of changes that are under way at once. */
const AT_ONCE = 64;
