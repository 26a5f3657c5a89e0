/**
 * A histogram of durations with fixed bounds: two buckets for each power of two of microseconds, found without a
 * search. Those of several nodes can be added up.
 */

/** Number of buckets. The last one begins at 26 min. */
export const LATENCY_BUCKETS = 63;

/** The bucket of a duration in ms: 0 for less than 1 µs, also for negative ones. */
export function latencyBucket(ms: number): number {
  const us = Math.min(ms * 1_000, 2_147_483_647) | 0;
  if (us < 1) return 0;
  const power = 31 - Math.clz32(us);
  // the bit below the highest one: whether it is in the upper half
  return 1 + 2 * power + ((2 * us >>> power) & 1);
}

/** Lower bound of a bucket, in ms. It ends where the next one begins. */
export function bucketStart(bucket: number): number {
  if (bucket <= 0) return 0;
  return 2 ** ((bucket - 1) >> 1) * (bucket % 2 === 0 ? 1.5 : 1) / 1_000;
}

/**
 * The duration in ms that a share `q` (0 to 1) of those counted did not exceed, even if it lies between the bounds of a
 * bucket: up to a third wrong. `undefined` if none was counted.
 */
export function quantile(counts: readonly number[], q: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let left = q * total;
  for (const [bucket, count] of counts.entries()) {
    if (count > 0 && left <= count) {
      const start = bucketStart(bucket);
      return start + (bucketStart(bucket + 1) - start) * Math.max(0, left) / count;
    }
    left -= count;
  }
  return bucketStart(counts.length);
}
