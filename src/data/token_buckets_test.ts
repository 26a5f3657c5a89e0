import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { TokenBuckets } from "./token_buckets.ts";

/** Buckets of two tokens with one more each second, for three keys, at a time that the test sets. */
function buckets() {
  let now = 0;
  const made = new TokenBuckets(3);
  const limit = { rate: 1, per: 1_000, burst: 2 };
  const take = (key?: string) => made.take(key, limit, now);
  return {
    take,
    pass: (ms: number) => void (now += ms),
    fill: () => ["b", "c", "d"].forEach(take),
  };
}

describe("TokenBuckets", () => {
  it("a key gets the burst, then the rate, and never more than the burst after a pause", () => {
    const { take, pass } = buckets();
    assertEquals([take("a"), take("a"), take("a")], [undefined, undefined, 1_000]);
    pass(250);
    assertEquals([take("a"), take("b")], [750, undefined]);
    pass(750);
    assertEquals([take("a"), take("a")], [undefined, 1_000]);
    pass(3_600_000);
    assertEquals([take("a"), take("a"), take("a")], [undefined, undefined, 1_000]);
  });

  it("what has no key shares a bucket of its own", () => {
    const { take } = buckets();
    assertEquals([take(), take(), take(), take("a")], [undefined, undefined, 1_000, undefined]);
  });

  it("the keys that were away for longest are forgotten: the memory for keys is bounded", () => {
    const { take, fill } = buckets();
    assertEquals([take("a"), take("a"), take("a")], [undefined, undefined, 1_000]);
    fill();
    assertEquals(take("a"), undefined);
  });

  it("a key that comes again and again stays limited, however many others come", () => {
    const { take, fill } = buckets();
    assertEquals([take("a"), take("a")], [undefined, undefined]);
    for (const other of ["b", "c", "d", "e"]) {
      take(other);
      assertEquals(take("a"), 1_000, other);
    }
    fill();
  });
});
