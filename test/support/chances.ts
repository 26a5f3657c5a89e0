/** Work that is judged on a machine that is busy with other work. */
import { Standstill } from "./standstill.ts";

/** A process that stood still for less than this, in ms, is not starved. */
const STARVED = 300;

/** Does it, and up to `more` times again while it does not go well; gives the last outcome, which the caller judges. */
export async function chances<T>(more: number, work: () => Promise<T>, isWell: (outcome: T) => boolean): Promise<T> {
  for (;; more--) {
    const outcome = await work();
    if (more === 0 || isWell(outcome)) return outcome;
  }
}

/**
 * Does it as {@link chances} does, again only if this process was starved meanwhile: what goes wrong now and then on a
 * machine with time is a fault.
 */
export async function chancesOfStarved<T>(
  more: number,
  work: () => Promise<T>,
  isWell: (outcome: T) => boolean,
): Promise<T> {
  const once = async () => {
    await using still = await Standstill.watch([]);
    const outcome = await work();
    return { outcome, isStarved: still.ms >= STARVED };
  };
  return (await chances(more, once, ({ outcome, isStarved }) => !isStarved || isWell(outcome))).outcome;
}
