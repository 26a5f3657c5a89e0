/** Binary search in sorted values. */

/**
 * Returns the first of `count` indexes for which `isBefore` is false, by binary search: all indexes for which it is
 * true come first.
 */
export function firstIndex(count: number, isBefore: (index: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
