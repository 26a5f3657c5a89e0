/**
 * A histogram of durations with fixed bounds: two buckets for each power of two of microseconds, found without a
 * search. Histograms of several nodes can be added up.
 */

/** Number of buckets; the last bucket begins at 26 min. */
export const LATENCY_BUCKETS = 63;

/** Returns the number of the bucket for a duration in ms: 0 for less than 1 µs and for negative durations. */
export function latencyBucket(ms: number): number {
  const us = Math.min(ms * 1_000, 2_147_483_647) | 0;
  if (us < 1) return 0;
  const power = 31 - Math.clz32(us);
  // the bit below the highest one tells whether it is in the upper half
  return 1 + 2 * power + ((2 * us >>> power) & 1);
}

/** Returns the lower bound of a bucket, in ms. A bucket ends where the next one begins. */
export function bucketStart(bucket: number): number {
  if (bucket <= 0) return 0;
  return 2 ** ((bucket - 1) >> 1) * (bucket % 2 === 0 ? 1.5 : 1) / 1_000;
}

/**
 * Returns the duration, in ms, that a part `q` (0 to 1) of the counted durations does not exceed; interpolated within a
 * bucket, so that it may be wrong by up to a third. `undefined`: nothing was counted.
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
