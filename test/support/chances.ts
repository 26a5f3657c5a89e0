/** Work that is judged on a machine that is busy with other work. */

/** Does it, and up to `more` times again while it does not go well; gives the last outcome, which the caller judges. */
export async function chances<T>(more: number, work: () => Promise<T>, isWell: (outcome: T) => boolean): Promise<T> {
  for (;; more--) {
    const outcome = await work();
    if (more === 0 || isWell(outcome)) return outcome;
  }
}
