import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { bucketStart, LATENCY_BUCKETS, latencyBucket, quantile } from "./latency_buckets.ts";

describe("latency buckets", () => {
  it("latencyBucket: each duration is between the bounds of its bucket", () => {
    for (let ms = 0.001; ms < 2_000_000; ms *= 1.07) {
      const bucket = latencyBucket(ms);
      // durations are counted in whole µs, rounded down
      const us = Math.floor(ms * 1_000) / 1_000;
      assert(bucketStart(bucket) <= us && us < bucketStart(bucket + 1), `${ms} ms in bucket ${bucket}`);
    }
  });

  it("latencyBucket: what is no duration is in the first, what is longer than all of them in the last", () => {
    assertEquals([0, -1, -Infinity, NaN, 0.0009].map(latencyBucket), [0, 0, 0, 0, 0]);
    assertEquals([2_147_483.647, 1e12, Infinity].map(latencyBucket), new Array(3).fill(LATENCY_BUCKETS - 1));
  });

  it("quantile: is at most a third wrong", () => {
    const counts: number[] = new Array(LATENCY_BUCKETS).fill(0);
    const times = Array.from({ length: 5_000 }, (_, i) => 0.05 * 1.002 ** i);
    for (const ms of times) counts[latencyBucket(ms)]++;
    for (const q of [0.01, 0.5, 0.9, 0.99]) {
      const exact = times[Math.floor(q * times.length)];
      assertLess(Math.abs(quantile(counts, q)! - exact), exact / 3);
    }
  });

  it("quantile: of nothing is undefined; of a list that was cut behind its last count the same", () => {
    assertEquals([quantile([], 0.5), quantile([0, 0], 0.5)], [undefined, undefined]);
    assertEquals(quantile([0, 0, 0, 4], 1), quantile([0, 0, 0, 4, 0, 0], 1));
  });
});
