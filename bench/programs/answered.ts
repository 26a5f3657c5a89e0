/** Measures what is done again and again, so many at once: how long one takes, and how many there are in a second. */
import { performance } from "node:perf_hooks";
import { quantile } from "../statistics.ts";

/** Result of a measurement: the median time of one, in ms, and the number of them in a second. */
export interface Answered {
  readonly p50: number;
  readonly rate: number;
}

/** Does it so many at once for so many ms. */
export async function loop(atOnce: number, ms: number, once: (lane: number) => Promise<unknown>): Promise<Answered> {
  const took: number[] = [];
  const begin = performance.now();
  await Promise.all(Array.from({ length: atOnce }, async (_, lane) => {
    do {
      const at = performance.now();
      await once(lane);
      took.push(performance.now() - at);
    } while (performance.now() - begin < ms);
  }));
  return { p50: quantile(took, 0.5), rate: took.length * 1_000 / (performance.now() - begin) };
}
